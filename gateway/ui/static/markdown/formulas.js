/** Formulas: found in Markdown, and set by KaTeX as MathML, which needs neither styles nor fonts of its own. */

import { made } from "./made.js";

/** Characters of a formula, and how large its parts may be, in em. */
const LONGEST = 2_000;
const LARGEST = 20;
const MOST_EXPANDED = 200;
/** What would set styles, which the page's policy forbids, or write to the console. */
const NOT_SET = /\\(?:pmb|fcolorbox|message|errmessage|show|html\w*)(?![a-zA-Z])/;
/** Words between two prices. */
const WORDS = /^[^\\^_={}]*\s[a-z]{2,}\s[^\\^_={}]*$/i;

const BLOCK = /^ {0,3}(?:\$\$((?:[^$\\]|\\[^]|\$(?!\$)){1,2000}?)\$\$|\\\[((?:[^\\]|\\(?!\])){1,2000}?)\\\])[ \t]*(?:\n+|$)/;
const INLINE = /^(?:\$\$((?:[^$\\`]|\\[^`]|\$(?!\$)){1,2000}?)\$\$|\\\[((?:[^\\`]|\\(?!\])){1,2000}?)\\\]|\\\(((?:[^\\`]|\\(?!\))){1,2000}?)\\\)|\$(?![\s$])((?:[^$\\`\n]|\\[^`\n]){1,500}?)(?<![\s\\])\$(?![\w$]))/;

/** @typedef {{type: string, raw: string, text: string, wide: boolean}} Formula */

/** @param {RegExp} shape @param {string} type @param {string} src @returns {Formula | undefined} */
function find(shape, type, src) {
  const found = shape.exec(src);
  if (!found) return undefined;
  const text = found[1] ?? found[2] ?? found[3] ?? found[4] ?? "";
  if (!text.trim() || (found[4] && WORDS.test(text))) return undefined;
  return { type, raw: found[0], text, wide: (found[1] ?? found[2]) !== undefined };
}

/** @param {(text: string) => string} escape @returns {import("../vendor/marked.js").TokenizerAndRendererExtension[]} for marked */
export const formulas = (escape) => [
  {
    name: "formulas",
    level: "block",
    start: (src) => /\n {0,3}(?:\$\$|\\\[)/.exec(src)?.index,
    tokenizer: (src) => find(BLOCK, "formulas", src),
    renderer: (token) => `<div class="math wide">${escape(token.raw.trim())}</div>`,
  },
  {
    name: "formula",
    level: "inline",
    start: (src) => /\$|\\[[(]/.exec(src)?.index,
    tokenizer: (src) => find(INLINE, "formula", src),
    renderer: (token) => `<span class="math${token.wide ? " wide" : ""}">${escape(token.raw)}</span>`,
  },
];

/** @type {typeof import("../vendor/katex.js").default | null} */
let katex = null;
/** @type {Promise<void> | null} */
let coming = null;

/** Sets the formulas in there that are not set yet; at first it is KaTeX that has to come. @param {Element} place */
export function set(place) {
  const waiting = place.querySelectorAll(".math:not(.set, .unset)");
  if (!waiting.length) return;
  if (katex) for (const node of waiting) compose(/** @type {HTMLElement} */ (node));
  else {
    coming ??= import("../vendor/katex.js").then((found) => void (katex = found.default));
    coming.then(() => set(place)).catch(() => (coming = null));
  }
}

/** @param {HTMLElement} node  holds the formula as it was written, and keeps it where it cannot be read */
function compose(node) {
  const source = node.textContent ?? "";
  const text = source.replace(/^(?:\$\$?|\\[[(])/, "").replace(/(?:\$\$?|\\[\])])$/, "");
  const inner = document.createElement("span");
  try {
    if (text.length > LONGEST || NOT_SET.test(text)) throw new RangeError("not to be set");
    const displayMode = node.classList.contains("wide");
    katex?.render(text, inner, {
      displayMode, output: "mathml", strict: "ignore", trust: false, maxSize: LARGEST, maxExpand: MOST_EXPANDED, throwOnError: true,
    });
    node.replaceChildren(...inner.childNodes);
    node.classList.add("set");
  } catch {
    node.classList.add("unset");
  }
}

/** Remembers of what formulas are made, before they are set. @param {ParentNode} place */
export function mark(place) {
  for (const node of place.querySelectorAll(".math")) made.set(node, node.textContent ?? "");
}
