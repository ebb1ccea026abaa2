/** What one reviewer has before them: the strips of a list, what they decided last, and undo. */
import { RETRY, isOf, outbox, post } from "./outbox.js";
import { requestName } from "./sending.js";

export class Session {
  /**
   * `about` says which list and who reviews; `show` gets {strips, last, waiting, trouble, ended}.
   * `again` is a strip to begin with, whoever has decided on it.
   */
  constructor(about, show, again) {
    this.again = again;
    this.about = about;
    this.show = show;
    this.strips = [];
    this.decided = new Set(outbox.bodies.filter((body) => isOf(about, body)).map((body) => body.strip));
    this.last = null;
    this.undos = 0;
    this.isOpen = true;
    this.listen = (event) => this.heard(event);
    outbox.listeners.add(this.listen);
    outbox.about = about;
    this.work();
  }

  close() {
    this.isOpen = false;
    clearTimeout(this.timer);
    outbox.listeners.delete(this.listen);
    if (outbox.about === this.about) outbox.about = null;
  }

  /** The label of each class: 1, 0, or null for unsure. The next strip is shown at once. */
  decide(answers, seconds) {
    const strip = this.strips.shift();
    this.decided.add(strip.key);
    outbox.add({ ...this.about, request: requestName(), strip: strip.key, blind: strip.blind, answers, seconds });
  }

  undo() {
    this.undos += 1;
    this.work();
  }

  /** What became of a decision of this list or of another. */
  heard({ body, about, found, isForgotten }) {
    // Of the strips of another order, only what is last counts.
    if (found && isOf(this.about, body)) this.take(about === this.about ? found : { ...found, strips: [] });
    if (isForgotten && isOf(this.about, body)) {
      this.decided.delete(body.strip);
      this.isAsked = false; // it may be shown again
    }
    this.work();
  }

  /** Ask for strips, or take back, once no decision is on its way. */
  async work() {
    this.tell();
    if (this.isBusy || outbox.waiting(this.about).length) return;
    if (this.isAsked && !this.last) this.undos = 0;
    if (this.isAsked && !this.undos) return;
    clearTimeout(this.timer);
    this.isBusy = true;
    const undo = this.undos ? this.last : null;
    const { found, refused, trouble } = await post(undo ? "undo" : "next", { ...this.about, ...(undo ? { number: undo.number } : { again: this.again }) });
    this.isBusy = false;
    if (!this.isOpen) return;
    this.trouble = trouble;
    if (found) {
      if (undo) this.undone(found);
      this.take(found);
      this.again = "";
      this.isAsked = true;
      this.work();
      return;
    }
    if (refused) this.undos = 0;
    this.isAsked = false;
    this.timer = setTimeout(() => this.work(), RETRY);
    this.tell();
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
  }

  tell() {
    const { strips, last, isAsked } = this;
    const waiting = outbox.waiting(this.about).length;
    const trouble = this.trouble === outbox.trouble ? "" : this.trouble; // it is told once
    this.show({ strips, last, trouble, waiting, ended: isAsked && !strips.length && !waiting && !this.trouble });
  }
}
