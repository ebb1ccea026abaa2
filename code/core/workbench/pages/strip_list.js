/** A list of any number of strips as pictures: only those in sight are elements of the page. */
import { Component, createRef, html } from "./markup.js";
import { classList, verdict } from "./strip_filter.js";

const ROW = 118; // pixels, as in strips.css
const SPARE = 3;
const MOST = 38; // one more may be open

export class StripList extends Component {
  constructor(props) {
    super(props);
    this.state = { from: 0, to: 12 };
    this.region = createRef();
    this.look = this.look.bind(this);
    this.onKey = this.onKey.bind(this);
  }

  componentDidMount() {
    this.observer = new ResizeObserver(this.look);
    this.observer.observe(this.region.current);
    this.reveal();
  }

  componentDidUpdate(before) {
    const { open, rows } = this.props;
    if (before.open !== open || before.rows !== rows) this.reveal();
  }

  componentWillUnmount() {
    this.observer.disconnect();
  }

  look() {
    const { scrollTop, clientHeight } = this.region.current;
    const from = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const to = Math.min(Math.ceil((scrollTop + clientHeight) / ROW) + SPARE, from + MOST);
    if (from !== this.state.from || to !== this.state.to) this.setState({ from, to });
  }

  /** Scroll to the open strip, unless it is in sight. */
  reveal() {
    const position = this.props.rows.indexOf(this.props.open);
    const region = this.region.current;
    if (position >= 0) {
      const top = position * ROW;
      if (top < region.scrollTop) region.scrollTop = top;
      if (top + ROW > region.scrollTop + region.clientHeight) region.scrollTop = top + ROW - region.clientHeight;
    }
    this.look();
  }

  onKey(event) {
    const { rows, open, onOpen } = this.props;
    const page = Math.max(1, Math.floor(this.region.current.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey || !rows.length) return;
    event.preventDefault();
    const place = Math.max(0, rows.indexOf(open)) + step;
    onOpen(rows[Math.min(Math.max(place, 0), rows.length - 1)]);
  }

  render({ found, against, rows, open, address, onOpen }, { from, to }) {
    const positions = [];
    for (let position = from; position < Math.min(to, rows.length); position++) positions.push(position);
    const opened = rows.indexOf(open);
    if (opened >= 0 && !positions.includes(opened)) positions.push(opened);
    return html`<div class="strip-list" role="listbox" aria-label="Strips" tabindex="0" ref=${this.region}
      aria-activedescendant=${opened >= 0 ? `strip-${found.keys[open]}` : undefined} onScroll=${this.look} onKeyDown=${this.onKey}>
      <div role="presentation" class="strip-space" style=${{ height: `${rows.length * ROW}px` }}>
        ${positions.map((position) => html`<${Row} key=${found.keys[rows[position]]} found=${found} against=${against} row=${rows[position]} position=${position}
          count=${rows.length} isOpen=${position === opened} image=${address(found.keys[rows[position]])} onOpen=${onOpen} />`)}
      </div>
    </div>`;
  }
}

class Row extends Component {
  shouldComponentUpdate(next, state) {
    const names = ["found", "against", "row", "position", "count", "isOpen", "image"];
    return names.some((name) => next[name] !== this.props[name]) || state.broken !== this.state.broken;
  }

  render({ found, against, row, position, count, isOpen, image, onOpen }, { broken }) {
    const part = found.parts[row];
    return html`<div role="option" id=${`strip-${found.keys[row]}`} class="strip-row" aria-selected=${isOpen ? "true" : "false"} aria-posinset=${position + 1}
      aria-setsize=${count} style=${{ transform: `translateY(${position * ROW}px)` }} onClick=${() => onOpen(row)}>
      ${broken ? html`<span class="strip-broken">cannot be shown</span>` : html`<img src=${image} alt="" decoding="async" onError=${() => this.setState({ broken: true })} />`}
      <span class="strip-name"><span>${found.ids[row]}</span>${part ? html`<span class="soft">${part}</span>` : null}</span>
      <span class="strip-facts">${facts(found, row, against)}</span>
    </div>`;
  }
}

function facts(found, row, against) {
  const labelled = html`<span>${classList(found, found.labels[row])}</span>`;
  const own = classList(found, found.predicted[row]);
  if (against) return html`${labelled}<span class="tag">${own}</span><span class="tag">other: ${against[row]?.join(", ") || "no defect"}</span>`;
  const checked = verdict(found, row);
  const wrong = checked && checked.missed.length + checked.alarms.length;
  return html`${labelled}${wrong ? html`<span class="tag wrong">predicted: ${own}</span>` : null}`;
}
