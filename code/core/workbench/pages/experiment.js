/** The page of one experiment. */
import { curves } from "./chart.js";
import { html } from "./markup.js";
import { Live } from "./polling.js";
import { readAddress, writeAddress } from "./state.js";
import { plainTable } from "./table.js";
import { asText } from "./values.js";

const WITH_STRIPS = ["classification", "cross-validation", "novelty"];
const CLONED = ["classification", "cross-validation"];

export function Experiment({ state, go }) {
  return html`<${Live} path=${`api/experiments/${encodeURIComponent(state.key)}`}>${({ content, trouble }) => (
    content ? page(content, trouble, state, go) : html`<p role="status">${trouble || "Reading …"}</p>`)}<//>`;
}

function page(one, trouble, state, go) {
  const address = (file) => `api/experiments/${encodeURIComponent(one.key)}/${encodeURIComponent(file)}`;
  const kind = one.facts?.find(([name]) => name === "kind")?.[2];
  return html`<section aria-label="Experiment">
    <h1>${one.name}</h1>
    <p><span class=${`tag ${one.status.replace(" ", "-")}`}>${one.status}</span> ${one.message} ${CLONED.includes(kind) ? html`<a href=${`#new?clone=${encodeURIComponent(one.key)}`}>Clone</a>` : null}</p>
    ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
    ${one.files.length ? html`<nav aria-label="Files" class="files">${one.files.map((file) => html`<a href=${address(file)} target="_blank" rel="noopener">${file}</a>`)}</nav>` : null}
    ${one.facts?.some(([, , value]) => WITH_STRIPS.includes(value)) ? html`<p><a href=${writeAddress({ ...readAddress("#strips"), place: one.key })}>Strips of this experiment</a>${one.facts.some(([, , value]) => value === "novelty") ? null : html` · <a href=${writeAddress({ ...readAddress("#review"), key: one.key })}>Review its labels</a>`}</p>` : null}
    ${one.problem ? html`<p class="trouble">${one.problem}</p>` : details(one, state, go)}
  </section>`;
}

function details(one, state, go) {
  const facts = one.facts.filter(([, , value]) => value !== null);
  return html`<dl class="facts">${facts.map(([name, title, value]) => html`<div><dt>${title}</dt><dd>${asText(name, value)}</dd></div>`)}</dl>
    ${one.figures.length ? html`<h2>Figures of the test part at 0.5</h2>${plainTable(one.figures, "Figures", "figures")}` : null}
    ${one.folds.length ? html`<h2>Macro figures of the folds</h2>${plainTable(one.folds, "Folds", "figures")}` : null}
    <h2>Curves</h2>
    ${curves([{ name: "value", history: one.history }], state, go)}
    <h2>Config</h2>
    ${one.command ? html`<pre>${one.command}</pre>` : null}
    <details><summary>${Object.keys(one.config).length} keys</summary>
      ${plainTable([["key", "value"], ...Object.entries(one.config).map(([name, value]) => [name, String(value)])], "Config")}</details>`;
}
