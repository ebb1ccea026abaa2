/** Curves over epochs: drawn as SVG in the colours of the style sheet, with their values as a table. */
import { Component, html } from "./markup.js";
import { plainTable } from "./table.js";
import { threeDecimals } from "./values.js";

const [WIDTH, HEIGHT] = [380, 220];
const EDGE = { left: 48, right: 10, top: 10, bottom: 26 };
const FIRST = ["validation.macro_f1", "validation.macro_average_precision", "validation.loss", "train.loss",
  "validation.effective_rank", "validation.retrieval", "learning_rate"];
const MOST_OPEN = 6;
export const MOST_RUNS = 8;
const SHARES = [["", "off"], ["0.5", "0.5"], ["0.8", "0.8"], ["0.9", "0.9"], ["0.95", "0.95"]];

/** `runs` are {name, history}; one chart for each curve that any of them has, smoothed as `state` says. */
export function curves(runs, state, go) {
  const drawn = runs.slice(0, MOST_RUNS);
  const names = [...new Set(drawn.flatMap((run) => Object.keys(run.history)))].filter((name) => name !== "epoch");
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  names.sort((a, b) => rank(a) - rank(b));
  if (!names.length) return html`<p class="soft">No epoch has ended yet.</p>`;
  const share = SHARES.some(([value]) => value === state.smooth) ? Number(state.smooth) : 0;
  const charts = (some) => html`<div class="charts">${some.map((name) => html`<${Chart} key=${name} name=${name} runs=${drawn} share=${share} />`)}</div>`;
  return html`${runs.length > MOST_RUNS ? html`<p class="soft">The first ${MOST_RUNS} of ${runs.length} are drawn.</p>` : null}
    ${drawn.length > 1 ? legend(drawn) : null}
    <p><label>Smoothing <select onChange=${(event) => go({ smooth: event.target.value })}>${SHARES.map(([value, title]) => html`<option value=${value} selected=${value === state.smooth}>${title}</option>`)}</select></label>
      ${share ? html` <span class="soft">bold: exponential means; the tables hold the values themselves</span>` : null}</p>
    ${charts(names.slice(0, MOST_OPEN))}
    ${names.length > MOST_OPEN ? html`<details><summary>${names.length - MOST_OPEN} more curves</summary>${charts(names.slice(MOST_OPEN))}</details>` : null}`;
}

function legend(runs) {
  return html`<ul class="legend">${runs.map((run, position) => html`<li>
    <svg viewBox="0 0 24 8" aria-hidden="true"><line x1="0" x2="24" y1="4" y2="4" class=${`line series-${position}`} /></svg>${run.name}</li>`)}</ul>`;
}

class Chart extends Component {
  render({ name, runs, share }, { log, at, open }) {
    const lines = runs.map((run, position) => ({ position, run: run.name, points: points(run.history, name) }));
    const values = lines.flatMap((line) => line.points.map(([, y]) => y)).filter((y) => y !== null);
    const missing = lines.flatMap((line) => line.points).filter(([, y]) => y === null).length;
    const scalable = values.length > 0 && Math.min(...values) > 0 && Math.max(...values) > Math.min(...values);
    const map = mapping(lines.flatMap((line) => line.points.map(([x]) => x)), values, log && scalable);
    return html`<figure>
      <figcaption>${name} ${scalable ? html`<label class="log"><input type="checkbox" checked=${Boolean(log)} onChange=${() => this.setState({ log: !log })} /> log</label>` : null}</figcaption>
      ${map ? this.drawing(name, lines, map, at, share) : html`<p class="soft">Undefined in every epoch.</p>`}
      <p class="reading soft">${at === undefined ? (missing ? `undefined in ${missing} ${missing === 1 ? "epoch" : "epochs"}: a gap` : " ") : reading(lines, at)}</p>
      <details onToggle=${(event) => this.setState({ open: event.target.open })}><summary>Values</summary>${open ? plainTable(twin(lines), `Values of ${name}`) : null}</details>
    </figure>`;
  }

  drawing(name, lines, map, at, share) {
    const point = (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      this.setState({ at: map.nearest(((event.clientX - box.left) / box.width) * WIDTH) });
    };
    return html`<svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${`${name} over epochs; the values are below`}
      onPointerMove=${point} onPointerLeave=${() => this.setState({ at: undefined })}>
      ${map.ticks.map((tick) => html`<g><line class="grid" x1=${EDGE.left} x2=${WIDTH - EDGE.right} y1=${map.y(tick)} y2=${map.y(tick)} />
        <text x=${EDGE.left - 6} y=${map.y(tick) + 4} text-anchor="end">${map.title(tick)}</text></g>`)}
      ${map.epochs.map((epoch) => html`<text x=${map.x(epoch)} y=${HEIGHT - 8} text-anchor="middle">${epoch}</text>`)}
      ${at === undefined ? null : html`<line class="grid" x1=${map.x(at)} x2=${map.x(at)} y1=${EDGE.top} y2=${HEIGHT - EDGE.bottom} />`}
      ${lines.map((line) => html`<path class=${`line series-${line.position}${share ? " faint" : ""}`} d=${path(line.points, map)} />`)}
      ${share ? lines.map((line) => html`<path class=${`line series-${line.position}`} d=${path(smoothed(line.points, share), map)} />`) : null}
    </svg>`;
  }
}

function points(history, name) {
  const epochs = history.epoch ?? [];
  const values = history[name];
  return values ? values.map((value, position) => [epochs[position] ?? position + 1, value]) : [];
}

/** Exponential means without the pull to zero of the first ones (Kingma and Ba, 2015); a gap stays one. */
export function smoothed(line, share) {
  let [sum, weight] = [0, 0];
  return line.map(([epoch, value]) => {
    if (value === null) return [epoch, null];
    [sum, weight] = [share * sum + value, share * weight + 1];
    return [epoch, sum / weight];
  });
}

/** A gap where a value is undefined; a lone point is a short line. */
function path(line, map) {
  let text = "";
  let pen = "M";
  line.forEach(([epoch, value], position) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const place = `${map.x(epoch).toFixed(1)} ${map.y(value).toFixed(1)}`;
    const alone = pen === "M" && (line[position + 1]?.[1] ?? null) === null;
    text += `${pen}${place}${alone ? "h0.1" : ""}`;
    pen = "L";
  });
  return text;
}

function mapping(epochs, values, log) {
  if (!values.length) return null;
  const scale = log ? Math.log10 : (value) => value;
  let [low, high] = [scale(Math.min(...values)), scale(Math.max(...values))];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
  const [width, height] = [WIDTH - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom];
  const x = (epoch) => EDGE.left + (last > first ? (epoch - first) / (last - first) : 0.5) * width;
  const y = (value) => EDGE.top + (1 - (scale(value) - low) / (high - low)) * height;
  const nearest = (place) => epochs.reduce((best, epoch) => (Math.abs(x(epoch) - place) < Math.abs(x(best) - place) ? epoch : best));
  const ticks = between(low, high).map((tick) => (log ? 10 ** tick : tick));
  return { x, y, nearest, ticks, title: titles(ticks), epochs: between(first, last).filter(Number.isInteger) };
}

/** Round numbers from low to high, four or so. */
function between(low, high) {
  if (low === high) return [low];
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= high; tick++) ticks.push(tick * step);
  return ticks;
}

/** As few digits as tell the ticks apart. */
function titles(ticks) {
  const digits = [2, 3, 4, 5, 6, 7].find((each) => new Set(ticks.map((tick) => tick.toPrecision(each))).size === ticks.length) ?? 8;
  return (tick) => Number(tick.toPrecision(digits)).toString();
}

function reading(lines, epoch) {
  const texts = lines.map((line) => {
    const value = line.points.find(([x]) => x === epoch)?.[1];
    return lines.length > 1 ? `${line.run}: ${asValue(value)}` : asValue(value);
  });
  return `epoch ${epoch} · ${texts.join(" · ")}`;
}

function asValue(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 0.01 || value === 0 ? threeDecimals(value) : value.toPrecision(3);
}

function twin(lines) {
  const epochs = [...new Set(lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
  const known = lines.map((line) => new Map(line.points));
  return [["epoch", ...lines.map((line) => line.run)], ...epochs.map((epoch) => [epoch, ...known.map((values) => asValue(values.get(epoch)))])];
}
