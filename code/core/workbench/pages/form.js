/** Fields drawn from JSON Schemas: one widget for each shape. The server alone judges the values. */
import { Component, html } from "./markup.js";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const LIST = /\s*,\s*/;

/** Values that a schema lists one by one; null where it takes others as well. */
function literals(schema) {
  if (schema.anyOf) {
    const parts = schema.anyOf.map(literals);
    return parts.every(Boolean) ? parts.flat() : null;
  }
  if (schema.enum) return schema.enum;
  if ("const" in schema) return [schema.const];
  if (schema.type === "boolean") return [true, false];
  return schema.type === "null" ? [null] : null;
}

function titleOf(value) {
  if (value === null) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

/** The members of a union that need a box of their own, and the values that need none. */
function kindsOf(schema) {
  const members = schema.anyOf ?? [schema];
  return { values: members.flatMap((each) => literals(each) ?? []), open: members.filter((each) => !literals(each)) };
}

function kindTitle(schema) {
  if (schema.type === "array") return schema.items?.type === "object" ? "JSON" : "list";
  return { integer: "number", number: "number", string: "text" }[schema.type] ?? "JSON";
}

function isOf(schema, value) {
  if (schema.type === "array") return Array.isArray(value);
  if (schema.type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  // What somebody typed is kept as it is: the server says what is wrong with it.
  return typeof value === "number" || typeof value === "string";
}

function isWritten(schema) {
  return schema.type !== "object" && !(schema.type === "array" && (schema.items?.type === "object" || !(schema.items ?? schema.prefixItems)));
}

function toText(schema, value) {
  if (value === undefined || value === null) return "";
  if (!isWritten(schema)) return JSON.stringify(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function fromText(schema, text) {
  if (!isWritten(schema)) return JSON.parse(text);
  if (schema.type === "array") {
    const item = schema.items ?? schema.prefixItems[0];
    return text.trim() ? text.trim().split(LIST).map((part) => fromText(item, part)) : [];
  }
  const number = schema.type !== "string" && text.trim() !== "" ? Number(text) : NaN;
  return Number.isFinite(number) ? number : text.trim();
}

/** A box that keeps what is typed, also while it is no value yet. */
class Box extends Component {
  render({ id, label, schema, value, set, described, invalid }, { text, problem, known }) {
    const shown = text !== undefined && same(known, value) ? text : toText(schema, value);
    const type = (event) => {
      const typed = event.target.value;
      if (!typed.trim() && !["string", "array"].includes(schema.type)) {
        this.setState({ text: typed, known: undefined, problem: "" });
        set(undefined); // an empty box is the default
        return;
      }
      try {
        const next = fromText(schema, typed);
        this.setState({ text: typed, known: next, problem: "" });
        set(next);
      } catch {
        this.setState({ text: typed, known: value, problem: "This is not JSON yet." });
      }
    };
    const common = { id, value: shown, onInput: type, "aria-label": label, "aria-describedby": described, "aria-invalid": Boolean(invalid || problem), spellcheck: false, autocomplete: "off" };
    const number = schema.type === "integer" || schema.type === "number";
    return html`${isWritten(schema) ? html`<input type="text" inputmode=${number ? "decimal" : "text"} ...${common} />`
    : html`<textarea rows="3" ...${common}></textarea>`}${problem ? html`<span class="wrong" role="alert">${problem}</span>` : null}`;
  }
}

function widget(props) {
  const { id, schema, value, set, places, described, invalid, name } = props;
  const common = { id, "aria-describedby": described, "aria-invalid": Boolean(invalid) };
  if (schema.place) return placeWidget(props, common);
  const { values, open } = kindsOf(schema);
  if (!open.length) {
    return html`<select ...${common} onChange=${(event) => set(values[event.target.value])}>
      ${value === undefined ? html`<option selected disabled>choose</option>` : null}
      ${values.map((each, position) => html`<option value=${position} selected=${same(each, value)}>${titleOf(each)}</option>`)}</select>`;
  }
  if (!values.length && open.length === 1) return html`<${Box} ...${props} schema=${open[0]} />`;
  const chosen = open.findIndex((member) => isOf(member, value) && !values.some((each) => same(each, value)));
  const choose = (choice) => (choice.startsWith("=") ? set(values[choice.slice(1)]) : set(startOf(open[choice])));
  return html`<span class="union"><select ...${common} aria-label=${`kind of ${name}`} onChange=${(event) => choose(event.target.value)}>
      ${values.map((each, position) => html`<option value=${`=${position}`} selected=${same(each, value)}>${titleOf(each)}</option>`)}
      ${open.map((member, position) => html`<option value=${position} selected=${position === chosen}>${kindTitle(member)}</option>`)}
    </select>${chosen < 0 ? null : html`<${Box} ...${props} id=${undefined} label=${name} schema=${open[chosen]} />`}</span>`;
}

function startOf(schema) {
  if (schema.type === "array") return [];
  if (schema.type === "object") return {};
  return schema.type === "string" ? "" : schema.minimum ?? (schema.exclusiveMinimum === undefined ? 0 : schema.exclusiveMinimum + 1);
}

/** Paths are chosen, never written: their keys are the server's. */
function placeWidget({ schema, value, set, places }, common) {
  const other = places.some((place) => place.key === value) ? schema.default : value;
  return html`<select ...${common} onChange=${(event) => set(event.target.value || undefined)}>
    <option value="" selected=${other === value}>${other ?? "none"}</option>
    ${places.map((place) => html`<option value=${place.key} selected=${place.key === value}>${place.label}</option>`)}
  </select>`;
}

/** One key: its name, its widget, what it is, and what the server has against it. */
export function field(path, schema, form) {
  const name = path.slice(path.lastIndexOf(".") + 1);
  const changed = path in form.values;
  const problem = form.problem?.path === path ? form.problem.problem : "";
  const id = `field-${path}`;
  const set = (value) => form.set(path, value);
  return html`<div class=${`field ${changed ? "changed" : ""}`} key=${path} data-key=${path}>
    <label for=${id}>${name}</label>
    <div class="widget">${widget({ id, name, schema, set, value: form.effective(path, schema), places: form.places[path] ?? [], described: `${id}-what`, invalid: problem })}
      ${changed ? html`<button type="button" class="quiet" aria-label=${`${path}: back to the default`} title="back to the default" onClick=${() => set(undefined)}>↺</button>` : null}</div>
    <p id=${`${id}-what`} class="soft">${problem ? html`<span class="wrong">${problem}</span> ` : null}${schema.description}</p>
  </div>`;
}

/** A transform that can be switched off, with its own keys while it is on. */
export function switchable(path, schema, form) {
  const name = path.slice(path.indexOf(".") + 1);
  const inner = Object.keys(schema.parameters).map((key) => `${path}.${key}`);
  const changed = [path, ...inner].some((key) => key in form.values);
  const probability = form.effective(`${path}.probability`, schema.parameters.probability);
  const off = form.effective(path, {}) === null && !(`${path}.probability` in form.values);
  const on = !off && probability !== 0;
  const id = `field-${path}`;
  const problem = form.problem?.path === path ? form.problem.problem : "";
  return html`<fieldset class=${`switch ${changed ? "changed" : ""}`} key=${path} data-key=${path}>
    <legend><label for=${id}><input id=${id} type="checkbox" checked=${on} onChange=${() => form.turn(path, schema, !on)} /> ${name}</label></legend>
    <p class="soft">${problem ? html`<span class="wrong">${problem}</span> ` : null}${schema.description}</p>
    ${on ? Object.entries(schema.parameters).map(([key, own]) => field(`${path}.${key}`, own, form)) : null}
  </fieldset>`;
}
