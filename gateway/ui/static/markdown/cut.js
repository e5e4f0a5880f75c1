/**
 * Where one block of a text ends and the next begins, known as soon as the lines are there that decide it. So a block that
 * has ended is read once, and a text in pieces is cut as the whole text is.
 */

/** Characters of a block. What is longer is cut between two lines or words, so that no block takes long to read. */
export const LONGEST = 10_000;
/** Lines of a block or cells of a table, after which another goes on; an item of a list counts for some lines. */
const MOST_PARTS = 1_000;
const ITEM_PARTS = 4;

const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)$/;
/** A line that is not all there, and may become one. */
const MAYBE_FENCE = /^ {0,3}(?:`{0,2}|`{3,}[^`]*|~{0,2}|~{3,}.*)$/;
const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * @typedef {object} Line
 * @property {string} text  without its end
 * @property {number} next  where the next one begins
 * @property {boolean} whole  whether it has ended
 */

/** @param {string} text @param {number} at @param {boolean} done @returns {Line} */
export function lineAt(text, at, done) {
  const end = text.indexOf("\n", at);
  if (end < 0) return { text: text.slice(at), next: text.length, whole: done };
  return { text: text.slice(at, end), next: end + 1, whole: true };
}

/** Lines between fences: what they enclose is found as it comes. */
export class Fence {
  /** @param {RegExpExecArray} opening @param {number} at  where its first line begins */
  constructor([, indent = "", mark = "", info = ""], at) {
    this.at = at;
    this.info = info;
    this.indent = indent ? new RegExp(`^ {1,${indent.length}}`, "gm") : null;
    this.closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \t]*$`);
    this.maybeClosing = new RegExp(`^ {0,3}${mark[0]}*[ \t]*$`);
    this.first = true;
  }

  /** What it encloses, from where it was read last. @param {string} text @param {boolean} done @returns {{told: string, end: number}}  `end` is -1 where it goes on */
  read(text, done) {
    const from = this.at;
    let end = -1;
    let to = from;
    while (end < 0 && this.at < text.length) {
      const line = lineAt(text, this.at, done);
      if (line.whole && this.closing.test(line.text)) end = line.next;
      else if (line.whole) to = this.at = line.next;
      else break;
    }
    if (end < 0 && done) end = text.length;
    const told = text.slice(from, text[to - 1] === "\n" ? to - 1 : to);
    if (from === to) return { told: "", end };
    const joined = this.first ? told : `\n${told}`;
    this.first = false;
    return { told: this.indent ? joined.replace(this.indent, "") : joined, end };
  }

  /** What a line has so far that is not all there. @param {string} text */
  rest(text) {
    const line = text.slice(this.at);
    if (!line || this.maybeClosing.test(line)) return "";
    const told = this.indent ? line.replace(this.indent, "") : line;
    return this.first ? told : `\n${told}`;
  }
}

/** Everything else: paragraphs, lists, tables. */
export class Prose {
  /** @param {number} from @param {string} head  of the table that goes on here */
  constructor(from, head) {
    this.from = this.at = from;
    this.list = this.blank = false;
    /** The first two lines of a table, with which it can go on in another block. */
    this.table = this.head = head;
    this.before = from;
    this.parts = 0;
  }

  /** Where it ends, or -1. @param {string} text @param {boolean} done */
  read(text, done) {
    for (;;) {
      const line = lineAt(text, this.at, done);
      if (line.next - this.from > LONGEST) return this.at > this.from ? this.at : seam(text, this.from);
      if (this.at === text.length) return done ? this.at : -1;
      if (!line.whole) return -1;
      if (this.ends(line.text)) return this.at;
      if (this.at > this.from && line.text.includes("|") && ROW.test(line.text)) this.table = text.slice(this.before, line.next);
      if (this.table) this.parts += line.text.split("|").length;
      this.before = this.at;
      this.at = line.next;
    }
  }

  /** Whether it ends before this line, or with it where it is blank. @param {string} line */
  ends(line) {
    if (!line.trim()) {
      this.table = "";
      this.blank = true;
      return !this.list;
    }
    if (this.at === this.from) this.list = /^[ \t]/.test(line);
    const item = ITEM.test(line);
    if (this.blank && !item && !/^[ \t]/.test(line)) return true;
    if (this.at > this.from && FENCE.test(line) && !(this.list && /^ {2}/.test(line))) return true;
    if (this.parts > MOST_PARTS || (item && this.at - this.from > LONGEST / 2)) return true;
    this.parts += item ? ITEM_PARTS : 1;
    this.list ||= item;
    this.blank = false;
    return false;
  }
}

/** What follows when there is too much: cut by its length alone. */
export class Rest {
  /** @param {number} from */
  constructor(from) {
    this.from = from;
    this.table = this.head = "";
  }

  /** Where it ends, or -1. @param {string} text @param {boolean} done */
  read(text, done) {
    if (text.length - this.from > LONGEST) return seam(text, this.from);
    return done ? text.length : -1;
  }
}

/** Between two words near the longest a block may be. @param {string} text @param {number} from */
function seam(text, from) {
  const end = from + LONGEST;
  const space = text.slice(end - 200, end).search(/\s\S*$/);
  if (space >= 0) return end - 200 + space + 1;
  const last = text.charCodeAt(end - 1);
  return last >= 0xd800 && last < 0xdc00 ? end - 1 : end;
}

/**
 * The block that begins there, behind blank lines, or null as long as that cannot be told.
 * @param {string} text @param {number} at @param {boolean} done @param {string} head  of the table that was cut there
 * @param {boolean} full  whether it is shown as it is from there on
 * @returns {Fence | Prose | Rest | null}
 */
export function begin(text, at, done, head, full) {
  if (full) return at < text.length ? new Rest(at) : null;
  for (;;) {
    const line = lineAt(text, at, done);
    if (!line.whole && (!line.text.trim() || MAYBE_FENCE.test(line.text))) return null;
    if (line.text.trim()) {
      const fence = FENCE.exec(line.text);
      return fence ? new Fence(fence, line.next) : new Prose(at, line.text.includes("|") ? head : "");
    }
    if (line.next === text.length) return null;
    at = line.next;
  }
}
