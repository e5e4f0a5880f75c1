/**
 * A text that comes in pieces, as nodes in a place. A block that has ended is read once; the last one is read again as it
 * grows, at most once a frame, and less often where that takes long.
 */

import { build } from "./build.js";
import { Fence, begin } from "./cut.js";
import { set } from "./formulas.js";
import { Listing, colour, copy } from "./listing.js";
import { mend } from "./mend.js";
import { morph } from "./morph.js";

/** Milliseconds of a frame for a text that is long already. */
const SLICE_MS = 12;
/** Of its time, the last block takes one part of so many. */
const SHARE = 8;
/** Elements of a text, of which the rest is shown as it is. */
const MOST_ELEMENTS = 20_000;

export class Stream {
  /** @param {HTMLElement} place  empty; nobody else changes it @param {boolean} [plain]  as it was typed, but for code */
  constructor(place, plain = false) {
    this.place = place;
    this.plain = plain;
    this.text = "";
    this.done = false;
    this.frame = this.at = this.due = this.elements = 0;
    this.head = "";
    /** @type {ReturnType<typeof begin>} */
    this.open = null;
    /** @type {Node[]} what the open block is so far */
    this.tail = [];
    /** @type {Listing | null} */
    this.listing = null;
    /** What the last line of a listing has so far. */
    this.half = document.createElement("span");
    place.addEventListener("click", copy);
  }

  restart() {
    this.place.replaceChildren();
    this.at = this.due = this.elements = 0;
    this.head = "";
    this.open = this.listing = null;
    this.tail = [];
  }

  /** @param {string} text  all that has come @param {boolean} done  nothing more will */
  write(text, done) {
    const plain = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (!plain.startsWith(this.text)) this.restart();
    else if (plain === this.text && done === this.done) return;
    else if (this.done) this.restart(); // an end that was none
    this.text = plain;
    this.done = done;
    if (done && !this.frame) this.work();
    else this.frame ||= requestAnimationFrame(() => this.work());
  }

  /** One frame's share. */
  work() {
    this.frame = 0;
    const start = performance.now();
    if (start >= this.due || this.done) {
      while (this.step()) {
        if (performance.now() - start > SLICE_MS) return this.again();
      }
      if (!this.done) this.show();
      set(this.place);
      const end = performance.now();
      this.due = end + (end - start) * SHARE;
    } else this.again();
  }

  again() {
    this.frame = requestAnimationFrame(() => this.work());
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  /** Reads a block that has ended; false where none has. */
  step() {
    this.open ??= begin(this.text, this.at, this.done, this.head, this.full());
    if (!this.open) return false;
    const end = this.open instanceof Fence ? this.fence(this.open) : this.open.read(this.text, this.done);
    if (end < 0) return false;
    if (this.listing) this.listing.close();
    else if (!(this.open instanceof Fence)) {
      this.put(build(this.text.slice(this.open.from, end), this.plain || this.full(), this.open.head));
      this.head = this.open.table;
    }
    this.at = end;
    for (const node of this.tail) {
      colour(node);
      if (node instanceof Element) this.elements += 1 + node.querySelectorAll("*").length;
    }
    this.tail = [];
    this.listing = this.open = null;
    return true;
  }

  full() {
    return this.elements > MOST_ELEMENTS;
  }

  /** @param {Fence} fence */
  fence(fence) {
    if (!this.listing) {
      this.listing = new Listing(fence.info);
      this.put([this.listing.node]);
    }
    this.half.remove();
    const { told, end } = fence.read(this.text, this.done);
    this.listing.append(told);
    return end;
  }

  /** Shows what the open block is so far. */
  show() {
    if (this.open instanceof Fence) {
      this.half.textContent = this.open.rest(this.text);
      if (this.half.textContent) this.listing?.last.after(this.half);
    } else if (this.open) {
      const text = this.text.slice(this.open.from);
      const plain = this.plain || this.full();
      this.put(build(plain ? text : mend(text), plain, this.open.head));
    }
  }

  /** @param {Node[]} nodes */
  put(nodes) {
    this.tail = morph(this.place, this.tail, nodes);
  }
}
