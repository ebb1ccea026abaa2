/** The page on which trainings are started: a form, its command line, and the queue. */
import { field, switchable } from "./form.js";
import { Jobs } from "./jobs.js";
import { Component, html } from "./markup.js";
import { Outcome } from "./outcome.js";
import { answer } from "./polling.js";
import { requestName, send } from "./sending.js";

const PAUSE = 250; // milliseconds without a key, after which the server is asked
const GROUPS = { model: "Model", loss: "Loss", mask_loss: "Loss of masks" };
const SECTIONS = { data: "Data", augmentation: "Augmentation", training: "Training", evaluation: "Evaluation", experiment: "Experiment", runtime: "Machine" };
const ORDER = ["experiment", "data", "model", "loss", "training", "augmentation", "mask_loss", "evaluation", "runtime"];
const PRESETS = { experiment: "Start from", supervision: "Masks are used for" };
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export class New extends Component {
  constructor(props) {
    super(props);
    this.state = { form: null, trouble: "", checked: null, wanted: "", said: "", experiment: true, standards: {} };
    this.asked = 0;
    this.choosing = "{}"; // what `standards` belongs to, where nothing is chosen
    this.request = requestName();
  }

  async componentDidMount() {
    const { content: form, trouble } = await answer("api/form");
    this.setState({ form, trouble }, () => form && this.takeOver());
  }

  componentDidUpdate(before) {
    if (!this.state.form) return;
    if (this.props.state.clone && before.state.clone !== this.props.state.clone) this.takeOver();
    else if (before.state.values !== this.props.state.values) {
      this.readStandards();
      this.checkSoon();
    }
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.asked = -1;
  }

  /** Fill the form with the values of an experiment, where the address names one. */
  async takeOver() {
    const { clone } = this.props.state;
    if (clone) {
      const { content: found, trouble } = await answer(`api/form/clone?key=${encodeURIComponent(clone)}`);
      this.setState({ lost: found?.lost, trouble: found ? "" : `Not cloned. ${trouble}` });
      this.props.go({ clone: "", ...(found && { values: JSON.stringify(found.values) }) }, "replace");
    }
    this.readStandards();
    this.checkSoon();
  }

  get values() {
    try {
      const values = JSON.parse(this.props.state.values || "{}");
      return values && typeof values === "object" && !Array.isArray(values) ? values : {};
    } catch {
      return {};
    }
  }

  write(values) {
    this.request = requestName();
    this.setState({ said: "", trouble: "" });
    this.props.go({ values: Object.keys(values).length ? JSON.stringify(values) : "" }, "replace");
  }

  checkSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), PAUSE);
  }

  async check() {
    const number = ++this.asked;
    const checked = await send("api/form/check", { values: this.values });
    if (number === this.asked) this.setState({ checked });
  }

  /** The changed keys on which the others' values depend. */
  get choices() {
    return Object.fromEntries(this.state.form.choosing.filter((key) => key in this.values).map((key) => [key, this.values[key]]));
  }

  /** The server composes what is chosen, as the training will: nobody else knows what a key then has. */
  async readStandards() {
    const { choices } = this;
    const choosing = JSON.stringify(choices);
    if (choosing === this.choosing) return;
    this.choosing = choosing;
    const { values, problem } = await send("api/form/standards", { values: choices });
    if (choosing !== this.choosing) return;
    if (problem) this.choosing = ""; // it is asked again with the next change
    else this.setState({ standards: values, of: choosing });
  }

  /** The value of a key that is not changed. */
  standard(key, schema) {
    const { standards } = this.state;
    return key in standards ? standards[key] : schema.default;
  }

  chosen(group) {
    const about = this.state.form.components[group];
    return this.values[about.key] ?? this.usual(group);
  }

  /** The component that is chosen where its key is not changed. */
  usual(group) {
    const { key, default: otherwise } = this.state.form.components[group];
    return this.state.standards[key] ?? otherwise;
  }

  /** What fields need to know: values, and how to change them. */
  forFields() {
    const values = this.values;
    return {
      values,
      places: this.state.form.places,
      problem: this.state.checked?.problem ? this.state.checked : null,
      effective: (key, schema) => (key in values ? values[key] : this.standard(key, schema)),
      set: (key, value) => this.set(key, value),
      turn: (key, schema, on) => this.turn(key, schema, on),
    };
  }

  set(key, value, schema = this.schemaOf(key)) {
    const values = { ...this.values };
    const isKnown = (this.state.of ?? "{}") === JSON.stringify(this.choices);
    if (value === undefined || (isKnown && schema && same(value, this.standard(key, schema)))) delete values[key];
    else values[key] = value;
    this.write(values);
  }

  turn(key, schema, on) {
    const values = Object.fromEntries(Object.entries(this.values).filter(([name]) => name !== key && !name.startsWith(`${key}.`)));
    const probability = `${key}.probability`;
    const isOn = this.state.standards[key] !== null && this.standard(probability, schema.parameters.probability) !== 0;
    if (on && !isOn) values[probability] = schema.switch.on;
    if (!on && isOn) values[key] = null;
    this.write(values);
  }

  schemaOf(key) {
    const [section, name, inner] = key.split(".");
    const { components, settings } = this.state.form;
    if (components[section]) return components[section].options[this.chosen(section)]?.parameters[name];
    const schema = settings[section]?.parameters[name];
    return inner ? schema?.parameters[inner] : schema;
  }

  /** Another component or preset: what was set for the one before is dropped. */
  choose(key, group, name, standard) {
    const known = group ? this.state.form.components[group].options[name].parameters : {};
    const kept = Object.entries(this.values).filter(([path]) => !group || !path.startsWith(`${group}.`) || path.slice(group.length + 1) in known);
    const values = Object.fromEntries(kept.filter(([path]) => path !== key));
    if (name !== standard) values[key] = name;
    this.write(values);
  }

  async start() {
    const { problem, path, number } = await send("api/jobs", { values: this.values, request: this.request });
    if (problem) {
      this.setState({ checked: { problem, path } });
      return;
    }
    this.request = requestName();
    this.setState({ said: `Job ${number} is in the queue.` });
    this.props.go({ job: String(number) }, "replace");
  }

  render({ state, go }, { form, trouble }) {
    return html`<section aria-label="New training"><h1>New training</h1>
      ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
      <div class="halves"><div>${form ? this.form(form) : html`<p role="status">Reading what can be set; the first time takes some seconds …</p>`}</div>
      <div class="aside">${form ? html`<${Outcome} values=${this.values} checked=${this.state.checked} said=${this.state.said}
        start=${() => this.start()} refuse=${(checked) => this.setState({ checked })} />` : null}<${Jobs} state=${state} go=${go} /></div></div>
    </section>`;
  }

  form(form) {
    const { wanted, lost } = this.state;
    const changed = Object.keys(this.values).length;
    return html`<form onSubmit=${(event) => event.preventDefault()} aria-label="Keys of the training">
      ${lost ? html`<p role="status">The form holds the values of the experiment.${lost.length ? ` Not taken over: ${lost.join("; ")}` : ""}</p>` : null}
      <div class="presets">${Object.entries(PRESETS).map(([group, title]) => this.presets(group, title, form.presets[group]))}</div>
      <div class="toolbar"><label class="grow">Find a key <input type="search" value=${wanted} placeholder="such as learning rate" onInput=${(event) => this.setState({ wanted: event.target.value })} /></label>
        <span class="soft">${changed ? `${changed} changed` : "nothing changed"}</span>
        ${changed ? html`<button type="button" onClick=${() => { this.setState({ lost: undefined }); this.write({}); }}>Start over</button>` : null}</div>
      ${ORDER.map((name) => this.section(name, form))}
    </form>`;
  }

  presets(group, title, options) {
    const chosen = options.find((each) => each.name === this.values[group]);
    return html`<div><label>${title} <select onChange=${(event) => this.choose(group, "", event.target.value, "")}>
        <option value="" selected=${!chosen}>the defaults</option>
        ${options.map((each) => html`<option value=${each.name} disabled=${each.is_sweep} selected=${each === chosen}>${each.name}${each.is_sweep ? " (a sweep: use the command)" : ""}</option>`)}
      </select></label>${chosen ? html`<p class="soft">${chosen.description}</p>` : null}</div>`;
  }

  section(name, form) {
    const group = form.components[name];
    const chosen = group ? this.chosen(name) : "";
    const parameters = group ? group.options[chosen]?.parameters ?? {} : form.settings[name].parameters;
    const words = this.state.wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (key, schema) => words.every((word) => `${name}.${key} ${schema.description} ${Object.keys(schema.parameters ?? {})}`.toLowerCase().replaceAll("_", " ").includes(word.replaceAll("_", " ")));
    const fields = Object.entries(parameters).filter(([key, schema]) => key !== "source" && found(key, schema));
    const source = name === "data" && found("source", parameters.source);
    const isChosen = group && found(group.key.split(".")[1], { description: Object.keys(group.options).join(" ") });
    if (words.length && !fields.length && !source && !isChosen) return null;
    const changed = Object.keys(this.values).filter((key) => key === group?.key || key.startsWith(`${name}.`)).length;
    const context = this.forFields();
    const problem = context.problem?.path ?? "";
    const open = words.length > 0 || problem === group?.key || problem.startsWith(`${name}.`) || this.state[name];
    return html`<details class="keys" key=${name} open=${open} onToggle=${(event) => this.setState({ [name]: event.target.open })}>
      <summary>${GROUPS[name] ?? SECTIONS[name]}${chosen ? ` · ${chosen}` : ""}${changed ? html` <b>· ${changed} changed</b>` : null}</summary>
      ${open ? html`${group ? this.component(name, group, chosen, context) : null}
        ${source ? field("data.source", parameters.source, context) : null}
        ${fields.map(([key, schema]) => (schema.switch ? switchable : field)(`${name}.${key}`, schema, context))}` : null}
    </details>`;
  }

  component(name, group, chosen, context) {
    const changed = group.key in this.values;
    const problem = context.problem?.path === group.key ? context.problem.problem : "";
    const standard = this.usual(name);
    return html`<div class=${`field ${changed ? "changed" : ""}`}><label for=${`field-${group.key}`}>${group.key.split(".")[1]}</label>
      <div class="widget"><select id=${`field-${group.key}`} aria-describedby=${`what-${name}`} onChange=${(event) => this.choose(group.key, name, event.target.value, standard)}>
        ${Object.keys(group.options).map((option) => html`<option value=${option} selected=${option === chosen}>${option}</option>`)}</select></div>
      <p class="soft" id=${`what-${name}`}>${problem ? html`<span class="wrong">${problem}</span> ` : null}${group.options[chosen]?.description}</p></div>`;
  }
}
