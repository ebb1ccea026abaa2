/** The page of a review: whose predictions, who reviews, and how far it has come. */
import { Component, html, thousands } from "./markup.js";
import { outbox } from "./outbox.js";
import { Live, Once } from "./polling.js";
import { forget, recall, remember } from "./remembered.js";
import { Desk } from "./review_desk.js";
import { writeAddress } from "./state.js";
import { plainTable } from "./table.js";
import { asText, valueOf } from "./values.js";

const REVIEWER = "reviewer";
const ORDERS = [["suspects", "suspected label errors"], ["unsure", "strips the model is unsure about"], ["sample", "the random sample"], ["open", "conflicts and unsure"]];
const KINDS = ["cross-validation", "classification"];

export function Review({ state, go }) {
  return html`<section aria-label="Review"><${Unsent} />
    <${Live} path="api/experiments?column=kind&column=created">${({ content, trouble }) => (
      content ? chosen(content, state, go) : html`<p role="status">${trouble || "Reading …"}</p>`)}<//></section>`;
}

/** The head of the page: what is not saved yet, of any list and reviewer, is sent while it is open. */
class Unsent extends Component {
  componentDidMount() {
    this.listen = () => this.setState({});
    outbox.listeners.add(this.listen);
    outbox.send();
  }

  componentWillUnmount() {
    outbox.listeners.delete(this.listen);
  }

  render() {
    const waiting = outbox.waiting().length;
    const refused = [...outbox.refusals.values()];
    return html`<div class="toolbar"><h1>Review</h1><span class="soft" role="status">${waiting ? `${waiting} not saved yet` : ""}</span></div>
      ${outbox.trouble ? html`<p class="trouble" role="alert">${outbox.trouble}</p>` : null}
      ${refused.length ? html`<p class="trouble" role="alert">Decisions that the server refuses: ${refused.length}. ${refused[0]} <button onClick=${() => outbox.forgetRefused()}>Forget them</button></p>` : null}`;
  }
}

function chosen({ experiments, pending }, state, go) {
  const found = experiments
    .filter((row) => row.status === "completed" && KINDS.includes(valueOf(row, "kind")))
    .sort((one, other) => KINDS.indexOf(valueOf(one, "kind")) - KINDS.indexOf(valueOf(other, "kind")) || one.name.localeCompare(other.name));
  if (!found.length) return pending ? html`<p role="status">Reading …</p>` : empty();
  if (!found.some((row) => row.key === state.key)) return choice(found, state);
  return html`<${Live} key=${state.key} path=${`api/review/list?${asked(state)}`}>${({ content, trouble }) => html`
    ${toolbar(found, state, go, content)}
    ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
    ${content ? work(content, state, go) : html`<p role="status">${trouble ? "" : "Ranking the strips …"}</p>`}`}<//>`;
}

function asked({ key, order, only }) {
  return new URLSearchParams({ key, order, only });
}

function empty() {
  return html`<p>No predictions to review yet. This command makes some, without any data set, and ranks the labels that are probably wrong:</p>
    <pre>python code/train.py experiment=quickstart training.folds=5</pre>
    <p class="soft">For your own strips, add <code>data.root=FOLDER</code> and leave out <code>experiment=quickstart</code>.</p>`;
}

function choice(found, state) {
  return html`<p>Whose predictions say which labels are probably wrong? A cross-validation has predicted every strip of a data set; another experiment only its validation and test part.</p>
    <ul class="choose">${found.map((row) => html`<li key=${row.key}><a href=${writeAddress({ ...state, key: row.key })}>${row.name}</a> <span class="soft">${valueOf(row, "kind")}, ${asText("created", valueOf(row, "created"))}</span></li>`)}</ul>`;
}

function toolbar(found, state, go, content) {
  const classes = content?.class_names ?? [];
  const options = (pairs, now) => pairs.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === now}>${text}</option>`);
  return html`<div class="toolbar">
    <label>Predictions of <select onChange=${(event) => go({ key: event.target.value, only: "" })}>${options(found.map((row) => [row.key, row.name]), state.key)}</select></label>
    <label>First <select onChange=${(event) => go({ order: event.target.value })}>${options(ORDERS, state.order)}</select></label>
    <label>Class <select onChange=${(event) => go({ only: event.target.value })}>${options([["", "all"], ...classes.map((name, at) => [name, content.classes[at]])], state.only)}</select></label>
    <label>Reviewer <input defaultValue=${recall(REVIEWER, "")} maxlength="80" size="12" autocomplete="off" spellcheck=${false} placeholder="your name"
      onChange=${(event) => { named(event.target.value.trim()); go({}, "replace"); }} /></label>
  </div>`;
}

function named(name) {
  if (name) remember(REVIEWER, name);
  else forget(REVIEWER);
}

function work(content, state, go) {
  const reviewer = recall(REVIEWER, "");
  if (content.problem) return html`<p class="trouble">${content.problem}</p>${state.only ? html`<button onClick=${() => go({ only: "" })}>All classes</button>` : null}`;
  const about = { key: state.key, order: state.order, only: state.only, reviewer };
  return html`
    ${reviewer ? html`<${Desk} key=${JSON.stringify(about)} about=${about} again=${state.again} classes=${content.classes} zoom=${state.zoom} go=${go} />`
    : html`<p class="notice">Type your name above to begin. It stands in the log beside each of your decisions, and lets several people review at once.</p>`}
    <h2>Progress</h2>
    <${Live} path=${`api/review/progress?${asked(state)}`}>${({ content: found, trouble }) => (
      found ? progress(found, content, state.key) : html`<p role="status">${trouble || "Reading …"}</p>`)}<//>`;
}

function progress(found, { strips, command }, key) {
  if (found.problem) return html`<p class="trouble">${found.problem}</p>`;
  if (!found.strips) return html`<p>None of ${thousands(strips)} strips is reviewed yet.</p>`;
  return html`<p>${thousands(found.strips)} strips reviewed; the list has ${thousands(strips)}.</p>
    ${plainTable(found.rows, "Decisions by class", "figures")}
    <ul>${found.notes.map((note) => html`<li>${note}</li>`)}</ul>
    <${Uses} command=${command} path=${`api/review/training?${new URLSearchParams({ key })}`} />`;
}

/** The command of a training is composed once it is asked for: the first time takes seconds. */
class Uses extends Component {
  render({ command, path }, { open }) {
    return html`<details onToggle=${(event) => this.setState({ open: event.target.open })}><summary>What to do with the decisions</summary>
      <p>The files of the data set are never written. Print what stands above:</p><pre>${command}</pre>
      <p>Train with the decided labels, and otherwise as the training that is reviewed:</p>
      ${open ? html`<${Once} path=${path}>${({ content, trouble }) => (content?.command ? training(content) : html`<p role="status">${content?.problem ?? trouble ?? "Composing …"}</p>`)}<//>` : null}</details>`;
  }
}

function training({ command, lost }) {
  return html`<pre>${command}</pre>${lost.length ? html`<p>Not in it: ${lost.join("; ")}</p>` : null}`;
}
