/** A table of any number of rows: only those in sight are elements of the page. */
import { Component, createRef, html } from "./markup.js";

const ROW = 36; // pixels, as in style.css
const SPARE = 8;

export class Table extends Component {
  constructor(props) {
    super(props);
    this.state = { from: 0, to: 40, focused: null };
    this.region = createRef();
    this.look = this.look.bind(this);
  }

  componentDidMount() {
    this.observer = new ResizeObserver(this.look);
    this.observer.observe(this.region.current);
  }

  componentWillUnmount() {
    this.observer.disconnect();
  }

  look() {
    const { scrollTop, clientHeight } = this.region.current;
    const from = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const to = Math.ceil((scrollTop + clientHeight) / ROW) + SPARE;
    if (from !== this.state.from || to !== this.state.to) this.setState({ from, to });
  }

  /** The rows in sight, and the one with the focus: it must not lose it when it leaves the sight. */
  inSight() {
    const { rows } = this.props;
    const { from, to, focused } = this.state;
    const last = Math.min(to, rows.length);
    const positions = [];
    for (let position = Math.min(from, Math.max(0, last - 1)); position < last; position++) positions.push(position);
    const kept = focused === null ? -1 : rows.findIndex((row) => row.key === focused);
    if (kept >= 0 && !positions.includes(kept)) positions.push(kept);
    return positions.sort((a, b) => a - b);
  }

  render() {
    const { label, columns, rows } = this.props;
    const body = [];
    let next = 0;
    let spaces = 0;
    const space = (until) => {
      if (until <= next) return;
      const style = { height: `${(until - next) * ROW}px` };
      body.push(html`<tr key=${`space ${spaces++}`} aria-hidden="true"><td class="space" colspan=${columns.length} style=${style}></td></tr>`);
    };
    for (const position of this.inSight()) {
      space(position);
      body.push(this.row(rows[position], position));
      next = position + 1;
    }
    space(rows.length);
    return html`<div class="region" role="region" aria-label=${label} tabindex="0" ref=${this.region} onScroll=${this.look}>
      <table class="rows" aria-rowcount=${rows.length + 1}>
        <colgroup>${columns.map((column) => html`<col key=${column.name} class=${column.width} />`)}</colgroup>
        <thead><tr aria-rowindex="1">${columns.map((column) => this.header(column))}</tr></thead>
        <tbody onFocusIn=${(event) => this.setState({ focused: event.target.closest("tr").dataset.key })}
          onFocusOut=${() => this.setState({ focused: null })}>${body}</tbody>
      </table>
    </div>`;
  }

  header({ name, title, width, fixed }) {
    const { sort, onSort } = this.props;
    if (fixed) return html`<th key=${name} scope="col" class=${width}><span class="hidden">${title}</span></th>`;
    const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined;
    const mark = { ascending: " ↑", descending: " ↓" }[direction] ?? "";
    return html`<th key=${name} scope="col" class=${width} aria-sort=${direction}>
      <button class="sort" title=${`sort by ${name}`} onClick=${() => onSort(direction === "descending" ? name : `-${name}`)}>${title}${mark}</button>
    </th>`;
  }

  row(row, position) {
    const { columns, marked } = this.props;
    return html`<tr key=${row.key} data-key=${row.key} aria-rowindex=${position + 2} class=${marked(row) ? "marked" : ""}>
      ${columns.map((column) => html`<td key=${column.name} class=${column.width}>${column.cell(row)}</td>`)}
    </tr>`;
  }
}

/** A small table, whole; the first row is its header. */
export function plainTable(rows, label, classes = "") {
  if (rows.length < 2) return null;
  const [header, ...body] = rows;
  return html`<div class="wide" role="region" aria-label=${label} tabindex="0"><table class=${classes}>
    <thead><tr>${header.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
    <tbody>${body.map((row) => html`<tr>${row.map((cell, column) => (column ? html`<td>${cell}</td>` : html`<th scope="row">${cell}</th>`))}</tr>`)}</tbody>
  </table></div>`;
}
