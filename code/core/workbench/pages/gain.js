/** What corrected labels are worth; every cell and sentence is what corrections.py gain prints. */
import { html } from "./markup.js";
import { Live } from "./polling.js";
import { writeAddress } from "./state.js";
import { plainTable } from "./table.js";

export function Gain({ state, go }) {
  return html`<section aria-label="Gain"><h1>Gain</h1>
    <p>What is it worth to train with the labels that reviewers corrected? Trainings on the given and on the corrected labels are compared, seed by seed.</p>
    <${Live} path=${`api/gain?${new URLSearchParams({ key: state.key })}`}>${({ content, trouble }) => html`
      ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
      ${content ? found(content, state, go) : html`<p role="status">${trouble ? "" : "Measuring; this takes seconds …"}</p>`}`}<//></section>`;
}

function found(content, state, go) {
  const { choices, problems, chosen } = content;
  return html`
    ${choices.length > 1 ? html`<div class="toolbar"><label>Trainings <select onChange=${(event) => go({ key: event.target.value })}>
      ${choices.map(({ key, title }) => html`<option key=${key} value=${key} selected=${key === chosen}>${title}</option>`)}</select></label></div>` : null}
    ${choices.length ? measured(content, state) : null}
    ${problems.length ? html`<h2>Not compared</h2><ul>${problems.map((line) => html`<li>${line}</li>`)}</ul>` : null}
    ${choices.length ? html`<details class="gain-how" open=${Boolean(content.refused)}><summary>How to measure it</summary>${how(content, state)}</details>` : html`
      ${problems.length ? null : html`<p>No training has corrected labels yet.</p>`}${how(content, state)}`}`;
}

function measured({ headline, tables, notes, refused, trainings }, state) {
  const link = (key, name) => html`<a href=${writeAddress({ ...state, page: "experiment", key })}>${name}</a>`;
  const pairs = trainings.map(([given, name, corrected, other, seed]) => [String(seed), link(given, name), link(corrected, other)]);
  return html`
    ${refused ? html`<p class="trouble">${refused}</p>` : html`<p class="gain-headline">${headline}</p>
      ${tables.map(({ title, rows }) => html`<h2>Scored by ${title}</h2>${plainTable(rows, `Scored by ${title}`, "figures gain")}`)}
      <h2>What this rests on</h2><ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
    <h2>Trainings</h2>
    ${plainTable([["seed", "on given labels", "on corrected labels"], ...pairs], "Trainings")}`;
}

function how({ commands, least }, state) {
  const [exported, trained, listed] = commands;
  return html`<ol class="gain-steps">
    <li>Review strips on the page <a href=${writeAddress({ ...state, page: "review", key: "", order: "sample" })}>Review</a>: suspected errors, and the random sample, whose test strips score both models; ${least} are the least. Choose a cross-validation: of another experiment, only strips that it did not learn from are shown.</li>
    <li>Write the decided labels to a file; <code>DATA_ROOT</code> is the folder of the data set:<pre>${exported}</pre></li>
    <li>Train with and without them, for three seeds, on one split; <code>EXPERIMENT</code> is the folder of any training on this data set. Add the other keys that you train with:<pre>${trained}</pre></li>
    <li>Look here again, or print the tables:<pre>${listed}</pre></li></ol>
    <p class="soft">Test labels that are corrected only where a model disagrees would flatter that model. Therefore the labels of the random sample count here, and no others.</p>`;
}
