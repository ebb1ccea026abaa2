/** One strip at a time: its picture, a button for each class, and what was decided last. */
import { Component, html } from "./markup.js";
import { Once } from "./polling.js";
import { recall, remember } from "./remembered.js";
import { Session } from "./review_session.js";
import { ZOOMS, Viewer } from "./viewer.js";

// Those that mean something else are left out: accept, keep, masks, unsure, undo, zoom.
const CLASS_KEYS = [..."1234567890bcdefghijlnopqrtvwxy"];
const KEYS_ON = "review.keys";
const SHOWN = new Map([[1, "shown"], [0, "not shown"], [null, "unsure"]]);

export class Desk extends Component {
  constructor(props) {
    super(props);
    this.state = { strips: [], keysOn: recall(KEYS_ON, true) };
    this.pictures = new Map();
    this.onKey = this.onKey.bind(this);
  }

  componentDidMount() {
    this.session = new Session(this.props.about, (found) => this.setState(found), this.props.again);
    document.addEventListener("keydown", this.onKey);
  }

  componentWillUnmount() {
    this.session.close();
    document.removeEventListener("keydown", this.onKey);
  }

  componentDidUpdate() {
    const { strips } = this.state;
    if (strips[0]?.key !== this.shown) {
      this.shown = strips[0]?.key;
      this.since = performance.now();
    }
    this.prefetch(strips);
  }

  /** The next pictures are there before they are shown. */
  prefetch(strips) {
    const wanted = new Set(strips.map((strip) => strip.key));
    for (const key of this.pictures.keys()) if (!wanted.has(key)) this.pictures.delete(key);
    for (const key of wanted) {
      if (this.pictures.has(key)) continue;
      const picture = new Image();
      picture.src = this.address(key, "image");
      this.pictures.set(key, picture);
    }
  }

  address(key, what) {
    return `api/strips/${encodeURIComponent(this.props.about.key)}/${encodeURIComponent(key)}/${what}`;
  }

  /** The answers for the strip that is shown: as given, until the reviewer changes them. */
  answers() {
    const [strip] = this.state.strips;
    const { draft } = this.state;
    if (draft?.key === strip.key) return draft.answers;
    return strip.answers ?? strip.given ?? this.props.classes.map(() => 0);
  }

  change(at, value) {
    const [strip] = this.state.strips;
    const answers = [...this.answers()];
    const first = strip.given?.[at] ?? 0;
    const round = [first, 1 - first, null];
    answers[at] = value === undefined ? round[(round.indexOf(answers[at]) + 1) % 3] : value;
    this.setState({ draft: { key: strip.key, answers } });
  }

  save(answers = this.answers()) {
    const seconds = Math.round(performance.now() - this.since) / 1000;
    this.setState({ draft: null });
    if (this.props.again) this.props.go({ again: "" }, "replace");
    this.session.decide(answers, seconds);
  }

  keep() {
    this.save(this.state.strips[0].given);
  }

  accept() {
    const { column, suggested } = this.state.strips[0];
    this.save(this.answers().map((label, at) => (at === column ? suggested : label)));
  }

  unsure() {
    const [strip] = this.state.strips;
    this.save(this.answers().map((label, at) => (strip.blind || at === strip.column ? null : label)));
  }

  masks() {
    this.setState({ masks: !this.state.masks });
  }

  /** What each key does now. */
  actions() {
    const [strip] = this.state.strips;
    const zoom = () => this.props.go({ zoom: this.props.zoom ? "" : "1" });
    const general = { z: zoom, m: () => this.masks(), u: () => this.session.undo(), "?": () => this.setState({ help: !this.state.help }) };
    if (!strip) return general;
    const classes = this.props.classes.map((_, at) => [CLASS_KEYS[at], () => this.change(at)]);
    const own = { ...Object.fromEntries(classes), ...general, enter: () => this.save(), s: () => this.unsure() };
    if (!strip.blind) own.k = () => this.keep();
    if (isDoubted(strip)) own.a = () => this.accept();
    return own;
  }

  onKey(event) {
    if (event.repeat || event.defaultPrevented || event.target.closest?.("input, select, textarea")) return;
    const key = event.key.toLowerCase();
    const isUndo = (event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey;
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey || !this.state.keysOn)) return;
    if (key === "enter" && event.target.closest?.("button, a, summary")) return;
    const action = this.actions()[isUndo ? "u" : key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  render({ classes }, { strips, last, trouble, waiting, ended, help }) {
    const [strip] = strips;
    return html`<div class="desk">
      ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
      ${strip ? this.strip(strip, classes) : html`<p role="status">${ended ? "There is no strip left for you in this list." : "Asking for strips …"}</p>`}
      <div class="actions">
        ${strip ? this.decisions(strip) : null}
        ${this.button("u", "Undo", () => this.session.undo(), { disabled: !last && !waiting })}
        <label class="zoom"><kbd>Z</kbd> <select aria-label="Zoom" onChange=${(event) => this.props.go({ zoom: event.target.value })}>${ZOOMS.map(([value, title]) => html`<option value=${value} selected=${this.props.zoom === value}>${title}</option>`)}</select></label>
        ${strip && !strip.blind ? this.button("M", "Given masks", () => this.masks(), { "aria-pressed": String(Boolean(this.state.masks)) }) : null}
        ${this.button("?", "Keys", () => this.setState({ help: !help }), { "aria-expanded": Boolean(help) })}
      </div>
      ${help ? this.help(classes) : null}
      <p class="soft last" role="status">${last && !waiting ? "Saved. " : ""}${last ? lastDecision(last) : ""}</p>
    </div>`;
  }

  strip(strip, classes) {
    const path = this.state.masks && !strip.blind ? this.address(strip.key, "masks") : "";
    return html`<h2 class="review-name" data-strip=${strip.key}>${strip.name}${strip.blind ? html` <span class="tag">blind</span>` : null}</h2>
      <${Once} path=${path}>${({ content }) => this.picture(strip, classes, content)}<//>
      <p class="question">${question(strip, classes)}</p>
      <div class="classes" role="group" aria-label="Defects of this strip">${classes.map((name, at) => this.classButton(strip, name, at))}</div>`;
  }

  picture(strip, classes, given) {
    const { zoom, go } = this.props;
    const masks = given?.masks ?? [];
    const none = given && !masks.length ? html`<p class="soft" role="status">No mask of this strip is given.</p>` : null;
    const layers = masks.map((at) => ({ kind: "mask", url: this.address(strip.key, `masks/${at}`), title: `given mask of ${classes[at]}` }));
    return html`<${Viewer} image=${this.address(strip.key, "image")} name=${strip.name} zoom=${zoom} layers=${layers} onZoom=${(wanted) => go({ zoom: wanted })} />${none}`;
  }

  classButton(strip, name, at) {
    const answer = this.answers()[at];
    const isAsked = !strip.blind && at === strip.column;
    const changed = !strip.blind && answer !== strip.given[at];
    const pressed = answer === null ? "mixed" : String(answer === 1);
    return html`<button key=${name} class=${`class ${isAsked ? "asked" : ""} ${changed ? "changed" : ""}`} aria-pressed=${pressed} aria-keyshortcuts=${CLASS_KEYS[at]}
      onMouseDown=${keepFocus} onClick=${() => this.change(at)}>
      <span class="name">${CLASS_KEYS[at] ? html`<kbd>${CLASS_KEYS[at]}</kbd> ` : null}${name}</span>
      <strong>${SHOWN.get(answer)}</strong>
      ${strip.blind ? null : html`<span class="known">given: ${SHOWN.get(strip.given[at])} · model ${strip.probabilities[at].toFixed(2)}</span>`}
    </button>`;
  }

  decisions(strip) {
    const answers = this.answers();
    const changes = strip.blind ? 0 : answers.filter((label, at) => label !== strip.given[at]).length;
    const save = strip.blind ? "Save" : changes ? `Save ${changes} changed` : "Save as given";
    return html`
      ${this.button("Enter", save, () => this.save(), { class: "button" })}
      ${strip.blind ? null : this.button("K", "Keep the given labels", () => this.keep())}
      ${isDoubted(strip) ? this.button("A", "Accept the suggestion", () => this.accept()) : null}
      ${this.button("S", "Unsure", () => this.unsure())}`;
  }

  button(key, text, onClick, how = {}) {
    const shortcut = key === "Enter" ? "Enter" : key.toLowerCase();
    return html`<button key=${key} ...${how} aria-keyshortcuts=${shortcut} onMouseDown=${keepFocus} onClick=${onClick}><kbd>${key.toUpperCase() === key ? key : key.length === 1 ? key.toUpperCase() : key}</kbd> ${text}</button>`;
  }

  help(classes) {
    const { keysOn } = this.state;
    const rows = [
      [classes.slice(0, CLASS_KEYS.length).map((_, at) => CLASS_KEYS[at]).join(" "), "a class: shown, not shown, unsure, in turn"],
      ["Enter", "save what the buttons say, and go on"], ["K", "keep the given labels"],
      ["A", "accept the suggestion"], ["S", "unsure: the class that is asked about; of a blind strip, all"],
      ["Z", "zoom: the whole strip, or pixel by pixel"], ["M", "the given masks, where the data set has any; none of a blind strip"],
      ["U, Ctrl+Z", "undo, as often as you like, also after a reload"], ["?", "show or hide this"],
    ];
    return html`<div class="shortcuts"><dl>${rows.map(([keys, text]) => html`<div><dt>${keys}</dt><dd>${text}</dd></div>`)}</dl>
      <label><input type="checkbox" checked=${keysOn} onChange=${() => { remember(KEYS_ON, !keysOn); this.setState({ keysOn: !keysOn }); }} /> single keys are on</label></div>`;
  }
}

/** A click leaves the focus where it was, so that Enter goes on saving. */
function keepFocus(event) {
  event.preventDefault();
}

function isDoubted(strip) {
  return !strip.blind && strip.suggested !== strip.given[strip.column];
}

function question(strip, classes) {
  if (strip.blind) return "Which defects does it show? Given labels and probabilities are hidden until you have decided.";
  const [name, probability] = [classes[strip.column], strip.probabilities[strip.column].toFixed(2)];
  const labelled = strip.given[strip.column] ? `${name} is given` : `${name} is not given`;
  if (!isDoubted(strip)) return `${labelled}, and the model gives it ${probability}. Is that right?`;
  // Probabilities are scaled before they are compared, so that a class may speak for itself below 0.5.
  const isScaled = (probability >= 0.5) !== (strip.suggested === 1);
  const than = isScaled ? `, which is ${strip.suggested ? "much" : "little"} for this class` : "";
  return `${labelled}, but the model gives it ${probability}${than}. Suggested: ${name} ${SHOWN.get(strip.suggested)}.`;
}

function lastDecision({ name, classes, given, answers, blind }) {
  const list = (labels, wanted) => classes.filter((_, at) => labels[at] === wanted).join(", ");
  const unsure = list(answers, null);
  const yours = [list(answers, 1) || (unsure ? "" : "no defect"), unsure && `unsure about ${unsure}`].filter(Boolean).join("; ");
  return `Last${blind ? ", blind" : ""}: ${name}. Given: ${list(given, 1) || "no defect"}. Yours: ${yours}.`;
}
