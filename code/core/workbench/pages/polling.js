/** Asks the server again and again, as long as the page is visible. */
import { takeEarly } from "./early.js";
import { Component } from "./markup.js";
import { SILENT } from "./sending.js";

const INTERVAL = 2000;

export class Poll {
  /** `tell` gets {content, checked, trouble}; content only where it changed. */
  constructor(tell) {
    this.tell = tell;
    this.path = "";
    this.look = () => this.again(0);
    document.addEventListener("visibilitychange", this.look);
  }

  follow(path) {
    if (path === this.path) return;
    this.path = path;
    this.tag = "";
    this.again(0);
  }

  stop() {
    this.path = "";
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.look);
  }

  again(delay) {
    clearTimeout(this.timer);
    if (this.path && !document.hidden) this.timer = setTimeout(() => this.ask(), delay);
  }

  async ask() {
    const path = this.path;
    const found = await answer(path, this.tag);
    if (path !== this.path) return;
    this.tag = found.tag ?? this.tag;
    delete found.tag;
    this.tell(found);
    this.again(INTERVAL);
  }
}

/** {content, checked, trouble, tag}; no content where the page has the one with this `tag`. */
export async function answer(path, tag = "") {
  try {
    const headers = tag ? { "If-None-Match": tag } : {};
    const response = await (takeEarly(path) ?? fetch(path, { headers, cache: "no-store" }));
    if (response.status === 304) return { checked: new Date(), trouble: "" };
    if (!response.ok) return { trouble: `${response.status}: ${reason(await response.text())}` };
    const content = await response.json();
    return { content, checked: new Date(), trouble: "", tag: response.headers.get("ETag") };
  } catch {
    return { trouble: SILENT };
  }
}

/** The sentence in the server's answer to what it refuses. */
export function reason(text) {
  try {
    const { problem, detail } = JSON.parse(text);
    if (problem) return problem;
    return typeof detail === "string" ? detail : JSON.stringify(detail).slice(0, 300);
  } catch {
    return text.slice(0, 300);
  }
}

/** Calls its child with what the server answers at `path`. */
export class Live extends Component {
  constructor(props) {
    super(props);
    this.poll = new Poll((found) => this.setState(found));
  }

  componentDidMount() {
    this.poll.follow(this.props.path);
  }

  componentDidUpdate(before) {
    if (before.path === this.props.path) return;
    this.setState({ content: undefined, trouble: "" });
    this.poll.follow(this.props.path);
  }

  componentWillUnmount() {
    this.poll.stop();
  }

  render() {
    return this.props.children(this.state);
  }
}

/** Asks once for `path`, and again where that changes; calls its child with the answer. */
export class Once extends Component {
  componentDidMount() {
    this.ask();
  }

  componentDidUpdate(before) {
    if (before.path !== this.props.path) this.ask();
  }

  async ask() {
    const { path } = this.props;
    if (!path) return;
    const { content, trouble } = await answer(path);
    if (path === this.props.path) this.setState({ path, content, trouble });
  }

  render() {
    const { path, content, trouble } = this.state;
    return this.props.children(path === this.props.path ? { content, trouble } : {});
  }
}
