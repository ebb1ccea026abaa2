/** The frame of all pages: where one is, what the server last said, and what is open. */
import { load } from "./early.js";
import { Component, html, render } from "./markup.js";
import { Poll } from "./polling.js";
import { SILENT } from "./sending.js";
import { readAddress, writeAddress } from "./state.js";

const titled = (page) => page[0].toUpperCase() + page.slice(1);

class App extends Component {
  constructor(props) {
    super(props);
    this.state = { place: readAddress(location.hash), trouble: "", loaded: {} };
    this.poll = new Poll((found) => this.setState(found));
    this.go = this.go.bind(this);
  }

  componentDidMount() {
    addEventListener("hashchange", () => this.setState({ place: readAddress(location.hash) }));
    this.follow();
  }

  componentDidUpdate() {
    this.follow();
  }

  follow() {
    const { page } = this.state.place;
    document.title = `${titled(page)} – Workbench`;
    if (page !== this.asked) this.load(page);
    const shown = this.state.loaded[page];
    if (!shown || page !== "experiments") return;
    this.poll.follow(shown.experimentsPath(this.state.place));
    this.untickGone();
  }

  /** What is no longer in the folder cannot be unticked in the table. */
  untickGone() {
    const { place, content } = this.state;
    // An empty list is that of a server that has not looked yet, or of a folder that is away.
    if (!place.selected.length || !content?.experiments.length || content.pending) return;
    const there = new Set(content.experiments.map((row) => row.key));
    const selected = place.selected.filter((key) => there.has(key));
    if (selected.length < place.selected.length) this.go({ selected }, "replace");
  }

  async load(page) {
    this.asked = page;
    try {
      const found = await load(page);
      this.setState(({ loaded }) => ({ loaded: { ...loaded, [page]: found }, trouble: "" }));
    } catch {
      this.setState({ trouble: SILENT });
    }
  }

  /** Change what is shown; `replace` keeps each letter of a filter out of the history. */
  go(changes, how = "push") {
    const place = { ...this.state.place, ...changes };
    history[`${how}State`](null, "", writeAddress(place));
    this.setState({ place });
  }

  render(_, { place, content, checked, trouble, loaded }) {
    const link = (page, text) => html`<a href=${writeAddress({ ...place, page, key: "" })} aria-current=${place.page === page ? "page" : undefined}>${text}</a>`;
    return html`<header>
        <strong>Workbench</strong>
        <nav aria-label="Pages">${link("experiments", "Experiments")}${link("compare", place.selected.length ? `Compare (${place.selected.length})` : "Compare")}${link("strips", "Strips")}${link("review", "Review")}${link("gain", "Gain")}${link("new", "New")}</nav>
        <span class="soft">${checked && !trouble ? `checked ${checked.toLocaleTimeString("en-GB")}` : ""}</span>
      </header>
      <main class=${place.page}>
        ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
        ${this.page(place, content, loaded[place.page])}
      </main>`;
  }

  page(place, content, shown) {
    if (!shown || (place.page === "experiments" && !content)) return html`<p role="status">Reading …</p>`;
    const Page = shown[titled(place.page)];
    return html`<${Page} state=${place} go=${this.go} found=${content} titles=${new Map(content?.titles)} />`;
  }
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
