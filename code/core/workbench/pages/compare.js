/** Several experiments beside each other; every cell is what compare.py prints. */
import { MOST_RUNS, curves } from "./chart.js";
import { html } from "./markup.js";
import { Live } from "./polling.js";
import { writeAddress } from "./state.js";
import { plainTable } from "./table.js";

export function Compare({ state, go }) {
  if (!state.selected.length) {
    return html`<section><h1>Compare</h1><p>Tick experiments on the page <a href="#experiments">Experiments</a> to compare them.</p></section>`;
  }
  const keys = state.selected.map((key) => ["key", key]);
  const path = `api/comparison?${new URLSearchParams([...keys, ["sort", state.by]])}`;
  return html`<section aria-label="Comparison"><h1>Compare</h1>
    <${Live} path=${path}>${({ content, trouble }) => html`
      ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
      ${content ? comparison(content, state, go) : html`<p role="status">Comparing; pairs take about a second each …</p>`}`}<//>
    <h2>Curves</h2>
    <${Live} path=${`api/curves?${new URLSearchParams(keys.slice(0, MOST_RUNS))}`}>${({ content, trouble }) => (
      content ? curves(content.runs, state, go) : html`<p role="status">${trouble || "Reading …"}</p>`)}<//>
  </section>`;
}

function comparison(found, state, go) {
  if (found.problem) return html`<p class="trouble">${found.problem}</p>${state.by === "macro_f1" ? null : html`<button onClick=${() => go({ by: "macro_f1" })}>Sort by macro_f1</button>`}`;
  return html`
    ${found.problems.length || found.gone ? html`<h2>Left out</h2>${list(found.problems)}` : null}
    ${found.gone ? html`<p>${found.gone} of the ticked experiments ${found.gone === 1 ? "is" : "are"} no longer in the folder. <button onClick=${() => go({ selected: found.keys })}>Untick</button></p>` : null}
    <h2>What differs</h2>
    ${found.differences.length ? plainTable([["key", ...heads(found)], ...found.differences.map(([key, values]) => [key, ...values])], "What differs")
    : html`<p class="soft">${found.labels.length > 1 ? "Nothing in their configs." : "There is one experiment to compare, or none."}</p>`}
    ${found.same.length ? html`<details><summary>${found.same.length} keys are the same</summary>${plainTable([["key", "value"], ...found.same.map(([key, value]) => [key, String(value)])], "The same")}</details>` : null}
    ${found.groups.length ? html`<h2>Figures</h2>
      <label>Sort by <select onChange=${(event) => go({ by: event.target.value })}>${found.sorts.map((name) => html`<option value=${name} selected=${name === found.sort}>${name}</option>`)}</select></label>` : null}
    ${found.groups.map((group) => html`
      ${found.groups.length > 1 ? html`<h3>Test set ${group.label}, ${group.num_images} images</h3>` : null}
      ${plainTable(group.rows, `Figures of test set ${group.label}`, "figures")}`)}
    ${found.pairs.length ? html`<h2>Verdicts</h2>${list(found.pairs.map((pair) => pair.sentence))}` : null}
    ${found.names.length > 1 ? html`<h2>Strips on which two decide differently</h2>${list(found.keys.slice(1, MOST_RUNS).map((key, number) => strips(found, state, key, number + 1)))}` : null}
    ${found.notes.length ? html`<h2>Notes</h2>${list(found.notes)}` : null}
    ${found.seeds.length ? html`<h2>Over seeds, mean ± standard deviation</h2>${plainTable(found.seeds, "Over seeds", "figures")}` : null}
    ${found.pretrainings.length ? html`<h2>Pretrainings, not ranked</h2>${plainTable(found.pretrainings, "Pretrainings", "figures")}` : null}`;
}

function strips(found, state, key, number) {
  const address = writeAddress({ ...state, page: "strips", place: found.keys[0], other: key, part: "test", strip: "" });
  return html`<a href=${address}>${found.names[0]} and ${found.names[number]}</a>`;
}

function heads(found) {
  return found.labels.map((label, position) => `${found.ranks[position]}: ${label}`);
}

function list(lines) {
  return html`<ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>`;
}
