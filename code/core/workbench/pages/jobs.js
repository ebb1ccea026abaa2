/** The queue of trainings: what runs, what waits, what has ended, and what each of them prints. */
import { Component, createRef, html } from "./markup.js";
import { Live } from "./polling.js";
import { requestName, send } from "./sending.js";
import { writeAddress } from "./state.js";

const INTERVAL = 2000;
const MOST_LETTERS = 200_000;

export class Jobs extends Component {
  render({ state, go }, { problem }) {
    return html`<section aria-labelledby="queue"><h2 id="queue">Queue</h2>
      ${problem ? html`<p class="trouble" role="alert">${problem}</p>` : null}
      <${Live} path="api/jobs">${({ content, trouble }) => html`
        ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
        ${content ? this.content(content, state, go) : html`<p class="soft">Reading …</p>`}`}<//>
    </section>`;
  }

  content({ jobs, resumable }, state, go) {
    const followed = jobs.find((job) => String(job.number) === state.job);
    return html`${jobs.length ? this.table(jobs, resumable, state, go) : html`<p class="soft">No training was started from here yet.</p>`}
      ${followed ? html`<${Log} key=${followed.number} job=${followed} close=${() => go({ job: "" })} />` : null}
      ${this.others(jobs, resumable, state)}`;
  }

  table(jobs, resumable, state, go) {
    const heads = ["job", "experiment", "status", "actions"];
    return html`<div class="wide" role="region" aria-label="Jobs" tabindex="0"><table class="jobs">
      <thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
      <tbody>${jobs.map((job) => this.row(job, resumable, state, go))}</tbody></table></div>`;
  }

  row(job, resumable, state, go) {
    const status = job.stopping ? "stopping" : job.state === "ended" ? job.status : job.state;
    const key = job.experiment?.key;
    const following = state.job === String(job.number);
    const again = job.state === "ended" && resumable.some((each) => each.key === key);
    return html`<tr key=${job.number}>
      <th scope="row" title=${job.command}>${job.number}</th>
      <td class="of">${job.experiment ? html`<a href=${writeAddress({ ...state, page: "experiment", key })}>${job.experiment.name}</a>` : job.label}
        <div class="soft">${about(job)}</div>
        ${job.message ? html`<div class=${job.status === "failed" ? "wrong" : "soft"}>${job.message}</div>` : null}</td>
      <td><span class=${`tag ${String(status).replace(" ", "-")}`}>${status}</span></td>
      <td><div class="actions">
        ${job.state === "queued" ? null : html`<button aria-expanded=${following} onClick=${() => go({ job: following ? "" : String(job.number) })}>Log<span class="hidden"> of job ${job.number}</span></button>`}
        ${job.state === "ended" || job.stopping ? null : html`<button onClick=${() => this.ask(`api/jobs/${job.number}/stop`)}>${job.state === "queued" ? "Remove" : "Stop"}<span class="hidden"> job ${job.number}</span></button>`}
        ${again ? html`<button onClick=${() => this.resume(key)}>Resume<span class="hidden"> ${job.label}</span></button>` : null}
        ${key ? html`<a href=${writeAddress({ ...state, page: "new", clone: key, values: "" })}>Clone<span class="hidden"> ${job.label}</span></a>` : null}
      </div></td></tr>`;
  }

  /** Experiments that were interrupted and are in no row of the queue. */
  others(jobs, resumable, state) {
    const here = new Set(jobs.map((job) => job.experiment?.key));
    const rest = resumable.filter((each) => !here.has(each.key));
    if (!rest.length) return null;
    return html`<details><summary>${rest.length} more that can be resumed</summary><ul class="plain">${rest.map((each) => html`<li key=${each.key}>
      <button onClick=${() => this.resume(each.key)}>Resume<span class="hidden"> ${each.name}</span></button>
      <a href=${writeAddress({ ...state, page: "experiment", key: each.key })}>${each.name}</a> <span class="soft">${each.status}</span></li>`)}</ul></details>`;
  }

  resume(key) {
    this.ask("api/jobs/resume", { key, request: requestName() });
  }

  async ask(path, content) {
    this.setState({ problem: "" });
    const { problem } = await send(path, content);
    this.setState({ problem });
  }
}

function about(job) {
  const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
  return [
    job.elsewhere ? `in ${job.elsewhere}` : "",
    job.experiment && job.epochs[1] ? `epoch ${job.epochs[0]} of ${job.epochs[1]}` : "",
    job.devices.map((device) => (device === "cpu" ? "CPU" : `GPU ${device}`)).join(", "),
    job.started_at ? `from ${time(job.started_at)}${job.ended_at ? ` to ${time(job.ended_at)}` : ""}` : "",
  ].filter(Boolean).join(" · ");
}

/** What a job prints, from the last lines on. */
class Log extends Component {
  constructor(props) {
    super(props);
    this.box = createRef();
    this.state = { text: "", rest: "" };
  }

  componentDidMount() {
    this.look();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.ended = true;
  }

  async look() {
    const query = this.next === undefined ? "" : `?start=${this.next}`;
    let more = false;
    if (!document.hidden) {
      try {
        const found = await (await fetch(`api/jobs/${this.props.job.number}/output${query}`, { cache: "no-store" })).json();
        if (this.ended) return;
        more = found.next !== this.next && found.text.length > 0;
        this.next = found.next;
        if (more || found.rest !== this.state.rest) this.show(found);
      } catch {
        // The table says that the server is silent.
      }
    }
    if (!this.ended) this.timer = setTimeout(() => this.look(), more ? 50 : INTERVAL);
  }

  show({ text, rest }) {
    const box = this.box.current;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 30;
    const all = (this.state.text + text).slice(-MOST_LETTERS);
    this.setState({ text: all, rest }, () => { if (atEnd) box.scrollTop = box.scrollHeight; });
  }

  render({ job, close }, { text, rest }) {
    return html`<div class="log-of"><h3>Log of job ${job.number} <button onClick=${close}>Close</button></h3>
      <pre class="command">${job.command}</pre>
      <pre class="log" role="region" tabindex="0" aria-label=${`Log of job ${job.number}`} ref=${this.box}>${text}${rest}</pre></div>`;
  }
}
