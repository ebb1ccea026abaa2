/** Decisions that the server has not confirmed, of all lists and reviewers; the browser keeps them. */
import { reason } from "./polling.js";
import { forget, recall, remember } from "./remembered.js";
import { SILENT } from "./sending.js";

export const RETRY = 2000;
const STORE = "review.unsent";
const COUNT = 4;

class Outbox {
  constructor() {
    this.own = {}; // a browser may keep nothing
    this.refusals = new Map();
    this.trouble = "";
    this.listeners = new Set();
    addEventListener("storage", () => this.sendSoon()); // another page of this browser decided, or sent
  }

  get bodies() {
    return Object.values({ ...recall(STORE, {}), ...this.own });
  }

  /** What is to be sent, of one list and reviewer or of all. What was refused is tried again, but nobody waits for it. */
  waiting(about) {
    return this.bodies.filter((body) => !this.refusals.has(body.request) && (!about || isOf(about, body)));
  }

  add(body) {
    this.own[body.request] = body;
    remember(STORE, { ...recall(STORE, {}), [body.request]: body });
    this.send();
  }

  remove({ request }) {
    delete this.own[request];
    this.refusals.delete(request);
    const left = recall(STORE, {});
    delete left[request];
    if (Object.keys(left).length) remember(STORE, left);
    else forget(STORE);
  }

  /** The reviewer gives up what the server refuses. */
  forgetRefused() {
    for (const body of this.bodies.filter(({ request }) => this.refusals.has(request))) {
      this.remove(body);
      this.tell({ body, isForgotten: true });
    }
  }

  /** Send each, in the order of its list; the server knows by its request what it has already. */
  async send() {
    this.tell({});
    if (this.isBusy) return;
    clearTimeout(this.timer);
    this.isBusy = true;
    const tried = new Set(), stuck = new Set();
    for (let body; (body = this.bodies.find((each) => !tried.has(each.request) && !stuck.has(each.key)));) {
      tried.add(body.request);
      const { about } = this;
      // Of another list or reviewer, no strip is wanted.
      const isShown = about && Object.keys(about).every((name) => about[name] === body[name]);
      const { found, refused, trouble } = await post("decide", body, isShown ? COUNT : 0);
      if (found) this.remove(body);
      else if (refused) {
        const isForgotten = !this.bodies.some(({ request }) => request === body.request); // while it was asked
        if (!isForgotten) this.refusals.set(body.request, trouble);
      } else {
        stuck.add(body.key);
        this.trouble = trouble;
      }
      this.tell({ body, about, found });
    }
    if (!stuck.size) this.trouble = "";
    this.isBusy = false;
    this.sendSoon();
  }

  sendSoon() {
    clearTimeout(this.timer);
    if (this.bodies.length) this.timer = setTimeout(() => this.send(), RETRY);
    this.tell({});
  }

  tell(event) {
    for (const listener of this.listeners) listener(event);
  }
}

export const outbox = new Outbox();

export function isOf(about, body) {
  return body.key === about.key && body.reviewer === about.reviewer;
}

/** What the server found; why it did not, and whether it is the question that it refuses. */
export async function post(path, body, count = COUNT) {
  try {
    const response = await fetch(`api/review/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, count }) });
    if (response.ok) return { found: await response.json(), trouble: "" };
    return { refused: [404, 422].includes(response.status), trouble: `${response.status}: ${reason(await response.text())}` };
  } catch {
    return { trouble: SILENT };
  }
}
