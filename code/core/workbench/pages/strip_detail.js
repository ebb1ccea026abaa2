/** The open strip: its picture, what can be laid over it, and its classes. */
import { Component, html } from "./markup.js";
import { Once } from "./polling.js";
import { classList, verdict } from "./strip_filter.js";
import { ZOOMS, Viewer } from "./viewer.js";

const OVERLAYS = [["truth", "True masks", "t"], ["predicted", "Predicted masks", "p"], ["heat", "Heat map", "h"]];
const METHODS = { mask_head: "masks that it predicts", hires_cam: "HiResCAM", grad_cam: "Grad-CAM", cbam: "CBAM gates" };

export class StripDetail extends Component {
  render({ found, row, address, state, go, near }) {
    const key = found.keys[row];
    const on = (name) => state.over.includes(name);
    const needsMaps = found.has_model && (on("predicted") || on("heat"));
    const masks = on("truth") && found.has_masks ? `${address(key, "masks")}` : "";
    const maps = needsMaps ? `${address(key, "maps")}${state.method ? `?method=${encodeURIComponent(state.method)}` : ""}` : "";
    return html`<${Once} path=${masks}>${(truth) => html`<${Once} path=${maps}>${(explained) => html`
      <section class="strip-detail" aria-label="Open strip">
        <h2>${found.ids[row]}</h2>
        <p class="soft">${[found.parts[row], `labelled: ${classList(found, found.labels[row])}`].filter(Boolean).join(" · ")}</p>
        ${controls(found, state, go, explained.content, row)}
        <${Viewer} image=${address(key, "image")} name=${found.ids[row]} zoom=${state.zoom} place=${state.at} onZoom=${(zoom) => go({ zoom })}
          layers=${layersOf({ found, row, address, state, truth: truth.content, explained: explained.content })} />
        ${notes(found, state, truth, explained)}
        ${classes(found, row)}
        ${near ?? null}
      </section>`}<//>`}<//>`;
  }
}

function controls(found, state, go, explained, row) {
  const toggle = (name) => go({ over: state.over.includes(name) ? state.over.filter((other) => other !== name) : [...state.over, name] });
  const shown = OVERLAYS.filter(([name]) => (name === "truth" ? found.has_masks : found.has_model));
  const choose = (name) => (event) => go({ [name]: event.target.value });
  const heat = state.over.includes("heat") && explained?.maps;
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

function layersOf({ found, row, address, state, truth, explained }) {
  const key = found.keys[row];
  const layers = [];
  if (explained?.maps && state.over.includes("heat")) {
    const number = mapShown(found, state, explained, row);
    layers.push({ kind: "heat", url: address(key, `maps/${explained.method}/${number}/heat`), title: `heat map of ${explained.maps[number].name}` });
  }
  for (const number of truth?.masks ?? []) layers.push({ kind: "mask", url: address(key, `masks/${number}`), title: `true mask of ${found.classes[number]}` });
  if (explained?.method === "mask_head" && state.over.includes("predicted")) {
    explained.maps.forEach((map, number) => layers.push({ kind: "outline", url: address(key, `maps/mask_head/${number}/mask`), title: `predicted mask of ${map.name}` }));
  }
  return layers;
}

function notes(found, state, truth, explained) {
  const lines = [];
  const on = (name) => state.over.includes(name);
  for (const asked of [truth, explained]) if (asked.trouble || asked.content?.problem) lines.push(asked.trouble || asked.content.problem);
  if (on("truth") && truth.content && !truth.content.problem) {
    if (truth.content.masks === null) lines.push("The masks of this strip are not known.");
    else if (!truth.content.masks.length) lines.push("No true mask: nothing is marked on this strip.");
  }
  if (found.has_model && (on("predicted") || on("heat")) && !explained.content && !explained.trouble) lines.push("The model looks at the strip; the first time takes some seconds …");
  if (on("predicted") && explained.content?.method && explained.content.method !== "mask_head") {
    lines.push(explained.content.methods.includes("mask_head") ? "Predicted masks are shown with the heat map of the masks that it predicts." : "This model predicts no masks; its heat map shows where it looks.");
  }
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
      <th scope="row"><span class="swatch" style=${{ background: found.colours[number % found.colours.length] }}></span>${name}</th>
      <td>${labels ? (labels.includes(number) ? "yes" : "–") : "?"}</td>
      ${probabilities ? html`<td><span class="bar" aria-hidden="true"><span style=${{ width: `${100 * probabilities[number]}%` }}></span></span>
        ${probabilities[number].toFixed(3)} ${mark(number) ? html`<span class="tag wrong">${mark(number)}</span>` : null}</td>
        <td>${found.thresholds[number].toFixed(3)}</td>` : null}
    </tr>`)}</tbody></table>`;
}
