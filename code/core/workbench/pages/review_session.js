/** What one reviewer has before them: strips, decisions on their way to the server, and undo. */
import { forget, recall, remember } from "./remembered.js";
import { requestName, SILENT } from "./sending.js";

const RETRY = 2000;
const COUNT = 4;

export class Session {
  /** `about` says which list and who reviews; `show` gets {strips, last, waiting, trouble, ended}. */
  constructor(about, show) {
    this.about = about;
    this.show = show;
    this.strips = [];
    this.decided = new Set();
    this.last = null;
    this.store = `review.unsent.${about.key}`;
    // What was not saved when the page was closed is sent again; the server knows it by its request.
    this.unsent = Object.values(recall(this.store, {})).filter((body) => body.reviewer === about.reviewer);
    this.undos = 0;
    this.isOpen = true;
    this.work();
  }

  close() {
    this.isOpen = false;
    clearTimeout(this.timer);
  }

  /** The label of each class: 1, 0, or null for unsure. The next strip is shown at once. */
  decide(answers, seconds) {
    const strip = this.strips.shift();
    const request = requestName();
    const body = { ...this.about, request, strip: strip.key, blind: strip.blind, answers, seconds };
    this.decided.add(strip.key);
    this.unsent.push(body);
    remember(this.store, { ...recall(this.store, {}), [request]: body });
    this.work();
  }

  undo() {
    this.undos += 1;
    this.work();
  }

  /** Send what is to be sent, one after another, in its order. */
  async work() {
    this.tell();
    if (this.isBusy) return;
    this.isBusy = true;
    this.isBusy = await this.sent();
    if (this.isOpen && this.isBusy) this.timer = setTimeout(() => { this.isBusy = false; this.work(); }, RETRY);
    this.tell();
  }

  /** Whether something is left that is to be tried again. */
  async sent() {
    do {
      const [body] = this.unsent;
      const isUndo = !body && this.undos > 0 && this.last;
      const path = isUndo ? "undo" : body ? "decide" : "next";
      const content = isUndo ? { number: this.last.number } : body;
      const { found, trouble, refused } = await post(path, { ...content, ...this.about, count: COUNT });
      if (!this.isOpen) return false;
      this.trouble = refused ? "" : trouble;
      if (!found && !refused) return true;
      if (refused) this.refusal = body ? `A decision was not saved. ${trouble}` : trouble;
      if (body) this.forgetFirst();
      if (body && refused) this.decided.delete(body.strip);
      if (isUndo && found) this.undone(found);
      if (found) this.take(found);
      this.tell();
      if (refused && !body) break;
    } while (this.unsent.length || (this.undos && this.last));
    this.undos = 0;
    return false;
  }

  forgetFirst() {
    const { request } = this.unsent.shift();
    const left = recall(this.store, {});
    delete left[request];
    if (Object.keys(left).length) remember(this.store, left);
    else forget(this.store);
  }

  undone(found) {
    this.undos -= 1;
    this.decided.delete(this.last.key);
    if (!found.undone) return; // it was taken back already: on another page, or its answer was lost
    // It is shown again with what was decided, ahead of the others.
    const again = found.strips.find((strip) => strip.key === this.last.key);
    if (again) this.strips = [{ ...again, answers: this.last.answers }, ...this.strips.filter((strip) => strip.key !== again.key)];
  }

  take(found) {
    this.last = found.last;
    const known = new Set(this.strips.map((strip) => strip.key));
    this.strips = [...this.strips, ...found.strips.filter((strip) => !known.has(strip.key) && !this.decided.has(strip.key))];
    this.isAsked = true;
  }

  tell() {
    const { strips, last, trouble, refusal } = this;
    const waiting = this.unsent.length;
    this.show({ strips, last, trouble, refusal, waiting, ended: this.isAsked && !strips.length && !waiting && !trouble });
  }
}

/** What the server found; why it did not, and whether asking again would not help. */
async function post(path, body) {
  try {
    const response = await fetch(`api/review/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (response.ok) return { found: await response.json(), trouble: "" };
    const text = await response.text();
    const refused = [404, 422].includes(response.status);
    return { refused, trouble: `${response.status}: ${refused ? JSON.parse(text).detail : text.slice(0, 300)}` };
  } catch {
    return { trouble: SILENT };
  }
}
