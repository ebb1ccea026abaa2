/** The frame of all pages: where one is, what the server last said, and what is open. */
import { Compare } from "./compare.js";
import { Experiment } from "./experiment.js";
import { Experiments, experimentsPath } from "./experiments.js";
import { Gain } from "./gain.js";
import { Component, html, render } from "./markup.js";
import { New } from "./new.js";
import { Poll } from "./polling.js";
import { Review } from "./review.js";
import { readAddress, writeAddress } from "./state.js";
import { Strips } from "./strips.js";

class App extends Component {
  constructor(props) {
    super(props);
    this.state = { place: readAddress(location.hash), trouble: "" };
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
    const { place } = this.state;
    document.title = `${place.page[0].toUpperCase()}${place.page.slice(1)} – Workbench`;
    if (place.page === "experiments") this.poll.follow(experimentsPath(place));
  }

  /** Change what is shown; `replace` keeps each letter of a filter out of the history. */
  go(changes, how = "push") {
    const place = { ...this.state.place, ...changes };
    history[`${how}State`](null, "", writeAddress(place));
    this.setState({ place });
  }

  render(_, { place, content, checked, trouble }) {
    const link = (page, text) => html`<a href=${writeAddress({ ...place, page, key: "" })} aria-current=${place.page === page ? "page" : undefined}>${text}</a>`;
    return html`<header>
        <strong>Workbench</strong>
        <nav aria-label="Pages">${link("experiments", "Experiments")}${link("compare", place.selected.length ? `Compare (${place.selected.length})` : "Compare")}${link("strips", "Strips")}${link("review", "Review")}${link("gain", "Gain")}${link("new", "New")}</nav>
        <span class="soft">${checked && !trouble ? `checked ${checked.toLocaleTimeString("en-GB")}` : ""}</span>
      </header>
      <main class=${place.page}>
        ${trouble ? html`<p class="trouble" role="alert">${trouble}</p>` : null}
        ${this.page(place, content)}
      </main>`;
  }

  page(place, content) {
    if (place.page === "experiment") return html`<${Experiment} state=${place} go=${this.go} />`;
    if (place.page === "review") return html`<${Review} state=${place} go=${this.go} />`;
    if (place.page === "gain") return html`<${Gain} state=${place} go=${this.go} />`;
    if (place.page === "compare") return html`<${Compare} state=${place} go=${this.go} />`;
    if (place.page === "strips") return html`<${Strips} state=${place} go=${this.go} />`;
    if (place.page === "new") return html`<${New} state=${place} go=${this.go} />`;
    if (!content) return html`<p role="status">Reading …</p>`;
    return html`<${Experiments} state=${place} go=${this.go} found=${content} titles=${new Map(content.titles)} />`;
  }
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
