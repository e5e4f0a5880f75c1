/** From Markdown to HTML. HTML in it is text, but for a few tags that only set type. */

import { Marked, Renderer } from "../vendor/marked.js";
import { leads } from "./clean.js";
import { formulas } from "./formulas.js";

const ESCAPES = /** @type {Record<string, string>} */ ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" });
const TAG = /^<\/?(?:br|b|i|u|s|sub|sup|kbd|mark|small|em|strong|del|code)\s*\/?>/i;
/** Characters of a cell that stand in one line. */
const LONG_CELL = 22;
const ANCHORS = /<\/?a\b[^>]*>/g;
const FORMULA = /\\\((?:[^\\]|\\(?!\))){1,2000}?\\\)|\$(?![\s$])[^$\n`]{1,500}?(?<!\s)\$(?![\w$])/g;

/** @param {string} text */
const escape = (text) => text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");

/** What stands for a link: where it may not lead there, its words. @param {string} href @param {string} words  as HTML @param {string} [title] @param {string} [kind] */
function link(href, words, title, kind) {
  const inner = words.replace(ANCHORS, "");
  if (!leads(href)) return inner;
  return `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""}${kind ? ` class="${kind}"` : ""}>${inner}</a>`;
}

const marked = new Marked({ gfm: true, breaks: true, async: false });
marked.use({
  extensions: formulas(escape),
  // A star within a formula ends nothing.
  hooks: { emStrongMask: (src) => src.replace(FORMULA, (found) => "x".repeat(found.length)) },
  tokenizer: {
    html: () => undefined,
    tag(src) {
      const found = TAG.exec(src);
      if (!found) return undefined;
      return { type: "html", raw: found[0], text: found[0], block: false, inLink: false, inRawBlock: false };
    },
  },
  renderer: {
    link({ href, title, tokens }) {
      return link(href, this.parser.parseInline(tokens), title ?? "");
    },
    // Pictures are not fetched: whoever wrote the address would learn who reads.
    image({ href, title, text }) {
      return link(href, escape(text || href), title ?? "", "picture");
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre title="${escape(lang ?? "")}">${escape(text)}</pre>`,
    listitem(item) {
      return `<li${item.task ? ' class="task"' : ""}>${this.parser.parse(item.tokens)}</li>`;
    },
    tablecell(cell) {
      const [name, kind] = [cell.header ? "th" : "td", cell.text.length > LONG_CELL ? ' class="long"' : ""];
      return `<${name}${kind}${cell.align ? ` align="${cell.align}"` : ""}>${this.parser.parseInline(cell.tokens)}</${name}>`;
    },
    table(token) {
      return `<div class="table">${Renderer.prototype.table.call(this, token)}</div>`;
    },
  },
});

/** @param {string} text  @returns {string} HTML, not yet clean */
export const render = (text) => /** @type {string} */ (marked.parse(text));
