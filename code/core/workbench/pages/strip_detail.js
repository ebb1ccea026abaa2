/** The open strip: its picture, what can be laid over it, and its classes. */
import { html } from "./markup.js";
import { Once } from "./polling.js";
import { writeAddress } from "./state.js";
import { classList, verdict } from "./strip_filter.js";
import { ZOOMS, Viewer } from "./viewer.js";

const OVERLAYS = [["truth", "True masks", "t"], ["predicted", "Predicted masks", "p"], ["heat", "Heat map", "h"]];
export const OVERLAYS_NEED = { truth: "has_masks", predicted: "has_mask_head", heat: "has_model" };
const METHODS = { mask_head: "masks that it predicts", hires_cam: "HiResCAM", grad_cam: "Grad-CAM", cbam: "CBAM gates" };

export function StripDetail({ found, against, row, address, state, go }) {
  const key = found.keys[row];
  const on = (name) => state.over.includes(name);
  const maps = (method) => address(key, `maps${method ? `?method=${encodeURIComponent(method)}` : ""}`);
  const asked = {
    truth: on("truth") && found.has_masks ? address(key, "masks") : "",
    predicted: on("predicted") && found.has_mask_head ? maps("mask_head") : "",
    heat: on("heat") && found.has_model ? maps(state.method) : "",
  };
  return html`<${Once} path=${asked.truth}>${(truth) => html`<${Once} path=${asked.predicted}>${(predicted) => html`<${Once} path=${asked.heat}>${(heat) => {
    const answers = { truth, predicted, heat };
    const layers = layersOf({ found, row, state, address: (what) => address(key, what), answers });
    return html`<section class="strip-detail" aria-label="Open strip">
      <h2>${found.ids[row]}</h2>
      <p class="soft">${facts(found, row, against)}${isHeldOut(found, row) ? html` · <a href=${writeAddress({ ...state, page: "review", key: state.place, again: key })}>Review its labels</a>` : null}</p>
      ${controls(found, state, go, heat.content, row)}
      <${Viewer} image=${address(key, "image")} name=${found.ids[row]} zoom=${state.zoom} place=${state.at} suspect=${truth.content?.middles?.[0]} layers=${layers}
        onZoom=${(zoom) => go({ zoom })} onMove=${(at) => go({ at }, "replace")} />
      ${notes(asked, answers)}
      ${classes(found, row)}
      ${found.predicted.some(Boolean) ? html`<${Once} path=${address(key, "similar")}>${({ content }) => similar(content, found, address, state)}<//>` : null}
    </section>`;
  }}<//>`}<//>`}<//>`;
}

function facts(found, row, against) {
  const novelty = found.novelty?.[row];
  const score = novelty === null || novelty === undefined ? "" : `novelty ${novelty}${found.novelty_threshold === null ? "" : ` (alarm above ${found.novelty_threshold.toPrecision(4)})`}`;
  const other = against?.[row] ? `the other experiment predicts: ${against[row].join(", ") || "no defect"}` : "";
  return [found.parts[row], `labelled: ${classList(found, found.labels[row])}`, other, score].filter(Boolean).join(" · ");
}

/** Only what a model was not trained on is reviewed by its predictions. */
function isHeldOut(found, row) {
  return found.predicted[row] && found.parts[row] !== "train";
}

function controls(found, state, go, explained, row) {
  const toggle = (name) => go({ over: state.over.includes(name) ? state.over.filter((other) => other !== name) : [...state.over, name] });
  const shown = OVERLAYS.filter(([name]) => found[OVERLAYS_NEED[name]]);
  const choose = (name) => (event) => go({ [name]: event.target.value });
  const heat = explained?.maps;
  const number = heat ? mapShown(found, state, explained, row) : -1;
  return html`<div class="toolbar strip-controls">
    <label>Zoom <select onChange=${choose("zoom")}>${ZOOMS.map(([value, title]) => html`<option value=${value} selected=${state.zoom === value}>${title}</option>`)}</select></label>
    ${shown.map(([name, title, letter]) => html`<button aria-pressed=${state.over.includes(name) ? "true" : "false"} onClick=${() => toggle(name)}>${title} <kbd>${letter}</kbd></button>`)}
    ${heat ? html`<label>of <select onChange=${choose("map")}>${explained.maps.map((map, index) => html`<option value=${index + 1} selected=${index === number}>${map.name}</option>`)}</select></label>
      <label>by <select onChange=${choose("method")}>${explained.methods.map((name) => html`<option value=${name} selected=${name === explained.method}>${METHODS[name] ?? name}</option>`)}</select></label>` : null}
  </div>`;
}

/** The map that is chosen; else that of the most probable class. */
function mapShown(found, state, explained, row) {
  if (explained.maps[state.map - 1]) return state.map - 1;
  const probabilities = found.probabilities[row] ?? [];
  const best = probabilities.indexOf(Math.max(...probabilities));
  return Math.max(0, explained.maps.findIndex((map) => map.class === best));
}

function layersOf({ found, row, state, address, answers }) {
  const layers = [];
  const { truth, predicted, heat } = answers;
  if (heat.content?.maps) {
    const number = mapShown(found, state, heat.content, row);
    layers.push({ kind: "heat", url: address(`maps/${heat.content.method}/${number}/heat`), title: `heat map of ${heat.content.maps[number].name}` });
  }
  for (const number of truth.content?.masks ?? []) {
    layers.push({ kind: "mask", url: address(`masks/${number}`), title: `true mask of ${found.classes[number]}` });
  }
  (predicted.content?.maps ?? []).forEach((map, number) => {
    if (map.has_mask) layers.push({ kind: "outline", url: address(`maps/mask_head/${number}/mask`), title: `predicted mask of ${map.name}` });
  });
  return layers;
}

function notes(asked, answers) {
  const all = Object.values(answers);
  const lines = all.map(({ content, trouble }) => trouble || content?.problem).filter(Boolean);
  const masks = answers.truth.content?.masks;
  if (masks === null) lines.push("The masks of this strip are not known.");
  if (masks?.length === 0) lines.push("No true mask: nothing is marked on this strip.");
  if (answers.predicted.content?.maps?.every((map) => !map.has_mask)) lines.push("No predicted mask: nowhere on this strip is the probability of a pixel 0.5.");
  const waits = (name) => asked[name] && !answers[name].content && !answers[name].trouble;
  if (waits("predicted") || waits("heat")) lines.push("The model looks at the strip; the first time takes some seconds …");
  return html`<div class="soft strip-notes" role="status">${lines.map((line) => html`<p>${line}</p>`)}</div>`;
}

function classes(found, row) {
  const probabilities = found.probabilities[row];
  const labels = found.labels[row];
  const checked = verdict(found, row);
  const mark = (number) => (checked?.missed.includes(number) ? "missed" : checked?.alarms.includes(number) ? "false alarm" : "");
  return html`<table class="strip-classes"><caption class="hidden">Classes of this strip</caption>
    <thead><tr><th scope="col">class</th><th scope="col">label</th>${probabilities ? html`<th scope="col">probability</th><th scope="col">threshold</th>` : null}</tr></thead>
    <tbody>${found.classes.map((name, number) => html`<tr>
      <th scope="row"><span class="class-name"><span class="swatch" style=${{ background: found.colours[number % found.colours.length] }}></span>${name}</span></th>
      <td>${labels ? (labels.includes(number) ? "yes" : "–") : "?"}</td>
      ${probabilities ? html`<td><span class="bar" aria-hidden="true"><span style=${{ width: `${100 * probabilities[number]}%` }}></span></span>
        ${probabilities[number].toFixed(3)} ${mark(number) ? html`<span class="tag wrong">${mark(number)}</span>` : null}</td>
        <td>${found.thresholds[number].toFixed(3)}</td>` : null}
    </tr>`)}</tbody></table>`;
}

/** The nearest strips, as find_similar.py wrote them into the experiment. */
function similar(content, found, address, state) {
  if (!content) return null;
  if (content.problem) return html`<p class="trouble">${content.problem}</p>`;
  if (!content.similar && !found.has_encoder) return null;
  if (!content.similar) return html`<p class="soft">The nearest strips: <code>python code/find_similar.py ${found.name}</code> finds them.</p>`;
  if (!content.similar.length) return null;
  return html`<h3>Nearest strips</h3><ul class="strip-similar">${content.similar.map((one) => html`<li key=${one.key}>
    <a href=${writeAddress({ ...state, strip: one.key, at: "" })}><img src=${address(one.key, "image")} alt="" />
    <span>${one.name}</span></a> <span class="soft">${one.similarity.toFixed(3)} ${one.copy}</span></li>`)}</ul>`;
}
