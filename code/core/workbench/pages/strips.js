/** The page of strips: those of a data set, or what an experiment predicts for its own. */
import { stripsPath } from "./early.js";
import { Component, html, thousands } from "./markup.js";
import { Live } from "./polling.js";
import { OVERLAYS_NEED, StripDetail } from "./strip_detail.js";
import { ORDERS, VERDICTS, chosenRows, predictedBy } from "./strip_filter.js";
import { StripList } from "./strip_list.js";

const FILTERS = ["find", "part", "given", "predicted", "verdict", "other", "rank"];
const SETTLED = 150; // milliseconds
const KEYS = { t: "truth", p: "predicted", h: "heat" };

export function Strips({ state, go }) {
  return html`<${Live} path="api/strips">${({ content, trouble }) => {
    const places = content?.places ?? [];
    if (content && !places.length) return empty();
    if (!state.place && !content) return html`<p role="status">${trouble || "Reading …"}</p>`;
    // A link names its place: its strips are asked for without waiting for the names of all.
    if (!state.place) return html`<${First} place=${places[0].key} go=${go} />`;
    return html`<section class="strips-page" aria-label="Strips of a place">
      ${head(places, state.place, go)}
      <${Live} key=${state.place} path=${stripsPath(state.place)}>${(own) => {
        if (!own.content || own.content.problem) return waiting(own);
        const browser = (other) => html`<${Browser} found=${own.content} other=${other} places=${places} place=${state.place} state=${state} go=${go} />`;
        if (!state.other || state.other === state.place) return browser(null);
        return html`<${Live} key=${state.other} path=${stripsPath(state.other)}>${(other) => (
          other.content && !other.content.problem ? browser(other.content) : waiting(other))}<//>`;
      }}<//>
    </section>`;
  }}<//>`;
}

const UNFILTERED = { strip: "", part: "", given: "", predicted: "", verdict: "", rank: "", other: "" };

/** Writes into the address which place is shown, so that every link names one. */
class First extends Component {
  componentDidMount() {
    const { place, go } = this.props;
    go({ place }, "replace");
  }

  render() {
    return null;
  }
}

function head(places, place, go) {
  const known = places.some((one) => one.key === place) ? places : [{ key: place, name: "…" }, ...places];
  return html`<div class="strip-head"><h1>Strips</h1>
    <label class="strip-place">of <select onChange=${(event) => go({ ...UNFILTERED, place: event.target.value })}>
      ${known.map((one) => html`<option key=${one.key} value=${one.key} selected=${one.key === place}>${one.name}</option>`)}</select></label></div>`;
}

function waiting({ content, trouble }) {
  const problem = content?.problem ?? trouble;
  if (problem) return html`<p class="trouble">${problem}</p>`;
  return html`<p role="status">Reading the strips; of a large data set this takes some seconds …</p>`;
}

function empty() {
  return html`<section><h1>Strips</h1>
    <p>There is no experiment yet, and no data set was named. This command opens one:</p>
    <pre>python code/workbench.py --data-root data/severstal</pre></section>`;
}

class Browser extends Component {
  constructor(props) {
    super(props);
    this.address = (key, what = "image") => `${stripsPath(this.props.place)}/${encodeURIComponent(key)}/${what}`;
    this.image = (key) => this.address(key);
    this.open = this.open.bind(this);
    this.onKey = this.onKey.bind(this);
  }

  shouldComponentUpdate(next, { row }) {
    const names = ["found", "other", "places", "place", "state"];
    return names.some((name) => next[name] !== this.props[name]) || row !== this.state.row;
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
    const { found, state, other } = this.props;
    const asked = FILTERS.map((name) => state[name]).join("\n");
    const known = this.known;
    if (known?.found !== found || known.other !== other || known.asked !== asked) {
      const against = other && predictedBy(found, other);
      this.known = { found, other, asked, against, rows: chosenRows(found, state, against) };
    }
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

  render({ found, places, place, state, go }, { row }) {
    const rows = this.rows();
    const { against } = this.known;
    const open = row ?? (state.strip ? this.row(state.strip) : rows[0]);
    const gone = state.strip && open === undefined;
    const count = thousands(found.ids.length);
    return html`<div class="strip-browser" onKeyDown=${this.onKey}>
      ${toolbar(found, places.filter((one) => one.key !== place && one.key !== "data"), state, go)}
      <p class="soft counts" role="status">${thousands(rows.length)} of ${count} shown${open !== undefined && !rows.includes(open) ? "; the open strip is not among them" : ""}</p>
      ${found.problems.map((problem) => html`<p class="trouble">${problem}</p>`)}
      <div class="strip-panes">
        <div class="strip-left">
          ${rows.length ? html`<${StripList} found=${found} against=${against} rows=${rows} open=${open} address=${this.image} onOpen=${this.open} />`
          : html`<p>No strip matches. <button onClick=${() => go(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Show all</button></p>`}
          <p class="soft strip-keys">${[["↑ ↓", "strip"], ["z", "1:1"], ...Object.entries(KEYS).filter(([, name]) => found[OVERLAYS_NEED[name]])].map(([key, what]) => html`<span><kbd>${key}</kbd> ${what}</span>`)}</p>
        </div>
        ${gone ? html`<p class="trouble">The strip of this link is not in ${found.name}.</p>` : null}
        ${open === undefined ? null : html`<${StripDetail} found=${found} against=${against} row=${open} address=${this.address} state=${state} go=${go} />`}
      </div>
    </div>`;
  }
}

function toolbar(found, others, state, go) {
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
    ${predicted && others.length ? choice("Decides otherwise than", "other", [["", "–"], ...others.map((one) => [one.key, one.name])]) : null}
    ${orders.length > 1 ? choice("Order", "rank", orders) : null}
  </div>`;
}
