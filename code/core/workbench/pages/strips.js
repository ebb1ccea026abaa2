/** The page of strips: those of a data set, or what an experiment predicts for its own. */
import { Component, html } from "./markup.js";
import { Live } from "./polling.js";
import { OVERLAYS_NEED, StripDetail } from "./strip_detail.js";
import { ORDERS, VERDICTS, chosenRows } from "./strip_filter.js";
import { StripList } from "./strip_list.js";

const FILTERS = ["find", "part", "given", "predicted", "verdict", "rank"];
const SETTLED = 150; // milliseconds
const KEYS = { t: "truth", p: "predicted", h: "heat" };

export function Strips({ state, go }) {
  return html`<${Live} path="api/strips">${({ content, trouble }) => {
    if (!content) return html`<p role="status">${trouble || "Reading …"}</p>`;
    const place = state.place || content.places[0]?.key;
    if (!place) return empty();
    const name = content.places.find((one) => one.key === place)?.name ?? place;
    return html`<section class="strips-page" aria-label="Strips of a place">
      <div class="strip-head"><h1>Strips</h1>
      <label class="strip-place">of <select onChange=${(event) => go({ place: event.target.value, strip: "", part: "", given: "", predicted: "", verdict: "", rank: "" })}>
        ${content.places.map((one) => html`<option key=${one.key} value=${one.key} selected=${one.key === place}>${one.name}</option>`)}</select></label></div>
      <${Live} key=${place} path=${`api/strips/${encodeURIComponent(place)}`}>${(found) => (
        found.content?.problem ? html`<p class="trouble">${found.content.problem}</p>`
        : found.content ? html`<${Browser} found=${found.content} place=${place} state=${state} go=${go} />`
        : html`<p role="status" class=${found.trouble ? "trouble" : ""}>${found.trouble || `Reading the strips of ${name} …`}</p>`)}<//>
    </section>`;
  }}<//>`;
}

function empty() {
  return html`<section><h1>Strips</h1>
    <p>There is no experiment yet, and no data set was named. This command opens one:</p>
    <pre>python code/workbench.py --data-root data/severstal</pre></section>`;
}

class Browser extends Component {
  constructor(props) {
    super(props);
    this.address = (key, what = "image") => `api/strips/${encodeURIComponent(this.props.place)}/${encodeURIComponent(key)}/${what}`;
    this.image = (key) => this.address(key);
    this.open = this.open.bind(this);
    this.onKey = this.onKey.bind(this);
  }

  componentDidUpdate(before) {
    if (before.state.strip !== this.props.state.strip && this.state.row !== undefined) this.setState({ row: undefined });
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  /** Browsers bear only some changes of the address in a second: a key that is held makes many. */
  open(row) {
    this.setState({ row });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.props.go({ strip: this.props.found.keys[row], at: "" }, "replace"), SETTLED);
  }

  /** The rows that match; the same array as long as nothing of it has changed. */
  rows() {
    const { found, state } = this.props;
    const asked = FILTERS.map((name) => state[name]).join("\n");
    if (this.known?.found !== found || this.known.asked !== asked) this.known = { found, asked, rows: chosenRows(found, state) };
    return this.known.rows;
  }

  /** The row of each key. */
  row(key) {
    const { found } = this.props;
    if (this.numbers?.found !== found) this.numbers = { found, rows: new Map(found.keys.map((each, row) => [each, row])) };
    return this.numbers.rows.get(key);
  }

  onKey(event) {
    const { state, go } = this.props;
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select")) return;
    const name = KEYS[event.key];
    if (name) go({ over: state.over.includes(name) ? state.over.filter((other) => other !== name) : [...state.over, name] });
    if (event.key === "z") go({ zoom: state.zoom ? "" : "1" });
  }

  render({ found, state, go }, { row }) {
    const rows = this.rows();
    const open = row ?? (state.strip ? this.row(state.strip) : rows[0]);
    const gone = state.strip && open === undefined;
    const count = found.ids.length.toLocaleString("en");
    return html`<div class="strip-browser" onKeyDown=${this.onKey}>
      ${toolbar(found, state, go)}
      <p class="soft counts" role="status">${rows.length.toLocaleString("en")} of ${count} shown${open !== undefined && !rows.includes(open) ? "; the open strip is not among them" : ""}</p>
      ${found.problems.map((problem) => html`<p class="trouble">${problem}</p>`)}
      <div class="strip-panes">
        <div class="strip-left">
          ${rows.length ? html`<${StripList} found=${found} rows=${rows} open=${open} address=${this.image} onOpen=${this.open} />`
          : html`<p>No strip matches. <button onClick=${() => go(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Show all</button></p>`}
          <p class="soft strip-keys">${[["↑ ↓", "strip"], ["z", "1:1"], ...Object.entries(KEYS).filter(([, name]) => found[OVERLAYS_NEED[name]])].map(([key, what]) => html`<span><kbd>${key}</kbd> ${what}</span>`)}</p>
        </div>
        ${gone ? html`<p class="trouble">The strip of this link is not in ${found.name}.</p>` : null}
        ${open === undefined ? null : html`<${StripDetail} found=${found} row=${open} address=${this.address} state=${state} go=${go} />`}
      </div>
    </div>`;
  }
}

function toolbar(found, state, go) {
  const classes = found.classes.map((name, number) => [String(number + 1), name]);
  const parts = [...new Set(found.parts.filter(Boolean))].map((part) => [part, part]);
  const predicted = found.predicted.some(Boolean);
  const orders = ORDERS.filter(([name]) => !name || (name === "novelty" ? found.novelty : predicted));
  if (predicted) orders.push(...classes.map(([number, name]) => [number, `most probable ${name} first`]));
  const choice = (title, name, options) => html`<label>${title} <select onChange=${(event) => go({ [name]: event.target.value })}>
    ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${state[name] === value}>${text}</option>`)}</select></label>`;
  const all = [["", "all"]];
  return html`<div class="toolbar strip-filters">
    <label class="strip-find">Name <input type="search" value=${state.find} onInput=${(event) => go({ find: event.target.value }, "replace")} /></label>
    ${parts.length > 1 ? choice("Part", "part", [...all, ...parts]) : null}
    ${choice("Label", "given", [...all, ["none", "no defect"], ...classes])}
    ${predicted ? choice("Predicted", "predicted", [...all, ["none", "no defect"], ...classes]) : null}
    ${predicted ? choice("Decision", "verdict", [...all, ...VERDICTS]) : null}
    ${orders.length > 1 ? choice("Order", "rank", orders) : null}
  </div>`;
}
