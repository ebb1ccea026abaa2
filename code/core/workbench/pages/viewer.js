/** One strip: whole or pixel by pixel, with what lies over it, and a small map of where one is. */
import { Component, createRef, html } from "./markup.js";
import { reason } from "./polling.js";

const SETTLED = 300; // milliseconds
export const ZOOMS = [["", "whole strip"], ["1", "1:1"], ["2", "2:1"], ["4", "4:1"]];

/**
 * `layers` are pictures of the whole strip: {url, kind, title}, kind being `mask` (right to the
 * pixel), `outline` or `heat`. `zoom` is one of ZOOMS; `place` says where one looks at first: "x,y"
 * of the middle in pixels of the image, else at `suspect`, such a pair, once that is known.
 * `onMove` is told of another place.
 */
export class Viewer extends Component {
  constructor(props) {
    super(props);
    this.state = { size: null, problem: "", seen: null };
    this.stage = createRef();
    this.look = this.look.bind(this);
    this.onDown = this.onDown.bind(this);
  }

  componentDidMount() {
    this.observer = new ResizeObserver(this.look);
    this.observer.observe(this.stage.current);
  }

  componentWillUnmount() {
    this.observer.disconnect();
    clearTimeout(this.timer);
  }

  componentDidUpdate(before, state) {
    const { suspect } = this.props;
    if (before.image !== this.props.image) this.setState({ problem: "" });
    // It comes after the strip; whoever has moved meanwhile stays.
    const isNews = suspect && String(suspect) !== String(before.suspect) && !this.props.place;
    if (isNews || before.zoom !== this.props.zoom || before.image !== this.props.image || state.size !== this.state.size) {
      this.goTo(this.wanted ?? place(this.props.place) ?? suspect ?? this.middle());
      this.wanted = null;
      this.look();
    }
  }

  middle() {
    const { size } = this.state;
    return size && [size[0] / 2, size[1] / 2];
  }

  /** Pixels of the screen for one of the image. */
  scale() {
    const { size } = this.state;
    return size ? this.stage.current.querySelector(".strip-canvas").offsetWidth / size[0] : 1;
  }

  goTo(point) {
    if (!point) return;
    const stage = this.stage.current;
    const scale = this.scale();
    stage.scrollLeft = point[0] * scale - stage.clientWidth / 2;
    stage.scrollTop = point[1] * scale - stage.clientHeight / 2;
  }

  look() {
    const { size, seen } = this.state;
    if (!size) return;
    const stage = this.stage.current;
    const whole = [stage.scrollWidth, stage.scrollHeight];
    const now = [stage.scrollLeft / whole[0], stage.scrollTop / whole[1], stage.clientWidth / whole[0], stage.clientHeight / whole[1]];
    if (seen && now.every((value, index) => Math.abs(value - seen[index]) < 1e-4)) return;
    this.setState({ seen: now });
    clearTimeout(this.timer);
    if (this.props.zoom) this.timer = setTimeout(() => this.tell(now), SETTLED);
  }

  /** Say where one looks, once it stays so. */
  tell([left, top, wide, high]) {
    const { size } = this.state;
    const at = [size[0] * (left + wide / 2), size[1] * (top + high / 2)].map(Math.round).join();
    if (at !== this.props.place) this.props.onMove?.(at);
  }

  /** Zoom in at a point of the strip, or out again. */
  toggle(event) {
    const box = this.stage.current.querySelector(".strip-canvas").getBoundingClientRect();
    const scale = this.scale();
    this.wanted = [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
    this.props.onZoom(this.props.zoom ? "" : "1");
  }

  /** Drag the strip under the pointer. */
  onDown(event) {
    if (!this.props.zoom || event.button || event.pointerType === "touch") return;
    const stage = this.stage.current;
    const start = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
    const move = (next) => stage.scrollTo(start[0] - next.clientX, start[1] - next.clientY);
    stage.setPointerCapture(event.pointerId);
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", () => stage.removeEventListener("pointermove", move), { once: true });
  }

  async failed() {
    const { image } = this.props;
    const problem = await whyNot(image);
    if (image === this.props.image) this.setState({ problem });
  }

  render({ image, name, layers, zoom }, { size, problem }) {
    const [width, height] = size ?? [1600, 256];
    const whole = { aspectRatio: `${width} / ${height}`, maxWidth: `calc(44dvh * ${width / height})` };
    const style = zoom && size ? { width: `${width * zoom}px`, height: `${height * zoom}px` } : whole;
    return html`<div class="viewer">
      <div class=${zoom ? "stage zoomed" : "stage"} tabindex="0" role="region" aria-label=${`Strip ${name}`} ref=${this.stage}
        onScroll=${this.look} onPointerDown=${this.onDown} onDblClick=${(event) => this.toggle(event)}>
        ${problem ? html`<p class="trouble" role="alert">${problem}</p>` : null}
        <div class="strip-canvas" style=${problem ? { display: "none" } : style}>
          <img class=${zoom > 1 ? "strip sharp" : "strip"} src=${image} alt=${name} draggable=${false}
            onLoad=${(event) => this.loaded(event.target)} onError=${() => this.failed()} />
          ${layers.map((layer) => html`<img key=${layer.url} class=${`layer ${layer.kind}`} src=${layer.url} alt=${layer.title} draggable=${false} />`)}
        </div>
      </div>
      ${zoom && size && !problem ? this.map() : null}
    </div>`;
  }

  loaded(picture) {
    const size = [picture.naturalWidth, picture.naturalHeight];
    if (String(size) !== String(this.state.size)) this.setState({ size });
  }

  /** The whole strip, small, with a frame around what is in sight; a click goes there. */
  map() {
    const { image, layers } = this.props;
    const { size, seen } = this.state;
    const percent = (value) => `${100 * value}%`;
    const [left, top, wide, high] = seen ?? [0, 0, 1, 1];
    const frame = { left: percent(left), top: percent(top), width: percent(wide), height: percent(high) };
    const go = (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      this.goTo([size[0] * (event.clientX - box.left) / box.width, size[1] * (event.clientY - box.top) / box.height]);
    };
    return html`<div class="mini-map" aria-hidden="true" style=${{ aspectRatio: `${size[0]} / ${size[1]}` }} onClick=${go}>
      <img src=${image} alt="" />${layers.map((layer) => html`<img key=${layer.url} class=${`layer ${layer.kind}`} src=${layer.url} alt="" />`)}
      <span style=${frame}></span>
    </div>`;
  }
}

/** Why an image cannot be shown: the server sends a sentence in its place. */
export async function whyNot(image) {
  const response = await fetch(image, { cache: "no-store" }).catch(() => null);
  if (!response) return "The server does not answer.";
  if (response.headers.get("Content-Type")?.startsWith("image/")) return "The browser cannot show this image.";
  return response.ok ? response.text() : reason(await response.text());
}

function place(text) {
  const numbers = (text ?? "").split(",").map(Number);
  return numbers.length === 2 && text && numbers.every(Number.isFinite) ? numbers : null;
}
