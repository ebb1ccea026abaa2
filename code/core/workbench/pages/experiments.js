/** The page of all experiments. */
import { Component, html, thousands } from "./markup.js";
import { Live } from "./polling.js";
import { DEFAULT_COLUMNS, writeAddress } from "./state.js";
import { Table } from "./table.js";
import { asText, matches, parseFilter, sorted, valueOf } from "./values.js";

const STATES = ["completed", "running", "no process", "interrupted", "failed", "damaged"];
const NARROW = ["seed", "epochs", "best_epoch", "macro_f1", "macro_average_precision"];
const WIDE = ["model", "starts_from"];

export function experimentsPath(state) {
  const needed = [...state.column, ...parseFilter(state.filter).map((part) => part.name), state.sort.replace(/^-/, "")];
  const always = ["kind", "planned_epochs", ...needed].filter((name) => name && name !== "name" && name !== "status");
  return `api/experiments?${new URLSearchParams([...new Set(always)].map((name) => ["column", name]))}`;
}

export function Experiments({ state, go, found, titles }) {
  const { experiments, pending, folder } = found;
  const parts = parseFilter(state.filter);
  const shown = sorted(experiments.filter((row) => (
    (!state.kind || valueOf(row, "kind") === state.kind)
    && (!state.status || row.status === state.status)
    && matches(row, parts, state.column))), state.sort);
  if (!experiments.length && !pending) return empty(folder);
  return html`<section class="full" aria-label="Experiments">
    <h1>Experiments</h1>
    ${toolbar(state, go, experiments)}
    <p class="soft counts" role="status">${thousands(shown.length)} of ${thousands(experiments.length)} shown${pending ? `, ${thousands(pending)} yet to be read` : ""}</p>
    <${Columns} state=${state} go=${go} />
    ${shown.length ? null : html`<p>No experiment matches. <button onClick=${() => go({ filter: "", kind: "", status: "" })}>Show all</button></p>`}
    <${Table} label="Table of experiments" rows=${shown} sort=${state.sort} columns=${columnsOf(state, go, titles)}
      marked=${(row) => state.selected.includes(row.key)} onSort=${(sort) => go({ sort })} />
  </section>`;
}

function empty(folder) {
  return html`<section><h1>Experiments</h1>
    <p>No experiment in <code>${folder}</code> yet. This command makes the first one, without any data set:</p>
    <pre>python code/train.py experiment=quickstart</pre>
    <p class="soft">It appears here by itself.</p></section>`;
}

function toolbar(state, go, experiments) {
  const kinds = [...new Set(experiments.map((row) => valueOf(row, "kind")).filter(Boolean))].sort();
  const states = STATES.filter((name) => experiments.some((row) => row.status === name));
  const chosen = state.selected.length;
  return html`<div class="toolbar">
    <label class="grow">Filter <input type="search" value=${state.filter} placeholder="text, loss.type=focal_loss, macro_f1>0.8"
      onInput=${(event) => go({ filter: event.target.value }, "replace")} /></label>
    ${choice("Kind", "kind", kinds, state, go)}
    ${choice("Status", "status", states, state, go)}
    ${chosen ? html`<span class="chosen"><a class="button" href=${writeAddress({ ...state, page: "compare" })}>Compare ${chosen}</a>
      <button onClick=${() => go({ selected: [] })}>Clear</button></span>` : html`<span class="soft chosen">Tick experiments to compare them</span>`}
  </div>`;
}

function choice(title, name, options, state, go) {
  return html`<label>${title} <select onChange=${(event) => go({ [name]: event.target.value })}>
    <option value="" selected=${!state[name]}>all</option>
    ${options.map((option) => html`<option key=${option} value=${option} selected=${state[name] === option}>${option}</option>`)}
  </select></label>`;
}

function columnsOf(state, go, titles) {
  const toggle = (key) => go({
    selected: state.selected.includes(key) ? state.selected.filter((other) => other !== key) : [...state.selected, key],
  });
  return [
    { name: "selected", title: "select", width: "tick", fixed: true, cell: (row) => html`<label class="tick">
      <input type="checkbox" aria-label=${`select ${row.name}`} checked=${state.selected.includes(row.key)} onChange=${() => toggle(row.key)} /></label>` },
    { name: "name", title: "experiment", width: "name", cell: (row) => html`<a title=${row.name}
      href=${writeAddress({ ...state, page: "experiment", key: row.key })}>${row.name}</a>` },
    { name: "status", title: "status", width: "status", cell: (row) => html`<span title=${row.message} class=${`tag ${row.status.replace(" ", "-")}`}>${row.status}</span>` },
    ...state.column.map((name) => ({ name, title: titles.get(name) ?? name, width: widthOf(name), cell: (row) => cell(row, name) })),
  ];
}

function widthOf(name) {
  if (NARROW.includes(name)) return "narrow";
  return WIDE.includes(name) ? "broad" : "middle";
}

function cell(row, name) {
  const value = valueOf(row, name);
  let text = asText(name, value);
  const planned = valueOf(row, "planned_epochs");
  if (name === "epochs" && row.status !== "completed" && planned) text = `${value ?? 0} of ${planned}`;
  return html`<span class=${typeof value === "number" ? "number" : ""} title=${text}>${text}</span>`;
}

/** The choice of columns; the server is asked for their names once it is open. */
class Columns extends Component {
  render({ state, go }, { open, wanted = "" }) {
    const standard = state.column.join() === DEFAULT_COLUMNS.join();
    return html`<details class="columns" onToggle=${(event) => this.setState({ open: event.target.open })}>
      <summary>Columns (${state.column.length})</summary>
      ${open ? html`<div class="toolbar"><label class="grow">Find a column
        <input type="search" value=${wanted} onInput=${(event) => this.setState({ wanted: event.target.value })} /></label>
        ${standard ? null : html`<button onClick=${() => go({ column: DEFAULT_COLUMNS })}>Default columns</button>`}</div>
        <${Live} path="api/columns">${({ content, trouble }) => (content ? this.list(content.columns) : trouble)}<//>` : null}
    </details>`;
  }

  list(columns) {
    const { state, go } = this.props;
    const wanted = (this.state.wanted ?? "").toLowerCase();
    const shown = columns.filter(([name, title]) => `${name} ${title}`.toLowerCase().includes(wanted));
    const toggle = (name) => go({
      column: state.column.includes(name) ? state.column.filter((other) => other !== name) : [...state.column, name],
    });
    return html`<ul class="choices">${shown.map(([name, title]) => html`<li key=${name}><label>
      <input type="checkbox" checked=${state.column.includes(name)} onChange=${() => toggle(name)} /> ${title}</label></li>`)}</ul>`;
  }
}
