/** A block of code: its language, a button that copies it, and colours once it is all there. */

import { effect } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { colours } from "./clean.js";
import { made } from "./made.js";

/** Characters of code that get colours. */
const MOST_COLOURED = 50_000;
/** Characters of a node: a browser lays out a long one anew for each line that comes. */
const PART = 8_000;
const LONGEST_PART = 2 * PART;
const COPIED_MS = 2_000;

const highlighter = () => import("../vendor/highlight.js");
/** @type {Promise<unknown>} */
let turn = Promise.resolve();

export class Listing {
  /** @param {string} info  what stands behind the fence, such as `python` */
  constructor(info) {
    this.language = /^[\w+#.-]{1,30}/.exec(info)?.[0].toLowerCase() ?? "";
    this.text = "";
    this.code = element("code");
    this.last = this.code.appendChild(new Text());
    const pre = element("pre", { tabindex: "0", dir: "ltr", translate: "no" });
    pre.append(this.code);
    const head = element("figcaption");
    head.append(element("span", {}, this.language), element("button", { type: "button", class: "copy", "aria-live": "polite" }, t("code.copy")));
    this.node = element("figure", { class: "code" });
    this.node.append(head, pre);
  }

  /** @param {string} text  that follows */
  append(text) {
    this.text += text;
    for (let rest = text; rest; ) {
      const room = Math.min(length(rest, this.last.length), rest.length);
      this.last.appendData(rest.slice(0, room));
      rest = rest.slice(room);
      if (rest) this.begin();
    }
  }

  /** A further part: all stand in blocks of their own. */
  begin() {
    const part = element("span", { class: "part" });
    if (this.last.parentNode === this.code) {
      const first = element("span", { class: "part" });
      first.append(this.last);
      this.code.append(first);
    }
    part.append((this.last = new Text()));
    this.code.append(part);
  }

  /** It is all there. */
  close() {
    made.set(this.node, `${this.language}\n${this.text}`);
  }
}

/** Has the code in a node coloured, when there is time. @param {Node} node */
export function colour(node) {
  if (!(node instanceof Element)) return;
  for (const figure of node.matches("figure.code") ? [node] : node.querySelectorAll("figure.code:not(.coloured)"))
    turn = turn.then(idle).then(() => paint(figure)).catch(() => {});
}

/** @param {Element} figure */
async function paint(figure) {
  const code = figure.querySelector("code");
  const text = code?.textContent ?? "";
  const language = figure.querySelector("figcaption span")?.textContent ?? "";
  if (!code || !language || !figure.isConnected || text.length > MOST_COLOURED) return;
  const { default: core } = await highlighter();
  if (!core.getLanguage(language)) return;
  code.replaceChildren(colours(core.highlight(text, { language, ignoreIllegals: true }).value));
  figure.classList.add("coloured");
}

/** How much of a text a part takes that has so much: to the first end of a line behind its measure. @param {string} text @param {number} has */
function length(text, has) {
  const line = text.indexOf("\n", Math.max(PART - has, 0));
  const most = LONGEST_PART - has;
  if (line >= 0 && line < most) return line + 1;
  const last = text.charCodeAt(most - 1);
  return last >= 0xd800 && last < 0xdc00 ? most - 1 : most;
}

/** @returns {Promise<void>} */
const idle = () =>
  new Promise((resolve) => {
    if ("requestIdleCallback" in window) requestIdleCallback(() => resolve(), { timeout: 2_000 });
    else setTimeout(resolve, 50);
  });

/** @param {string} name @param {Record<string, string>} [attributes] @param {string} [text] */
function element(name, attributes = {}, text = "") {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

/** Copies the code whose button was pressed. @param {Event} event */
export async function copy(event) {
  const button = event.target instanceof Element ? event.target.closest("button.copy") : null;
  const code = button?.closest("figure")?.querySelector("code");
  if (!button || !code) return;
  await write(code);
  button.textContent = t("code.copied");
  setTimeout(() => (button.textContent = t("code.copy")), COPIED_MS);
}

/** @param {Element} code */
async function write(code) {
  const text = code.textContent ?? "";
  try {
    return await navigator.clipboard.writeText(text);
  } catch {
    // A page that did not come from this machine or by HTTPS has no clipboard, but can copy what is selected.
    getSelection()?.selectAllChildren(code);
    return document.execCommand("copy");
  }
}

effect(() => {
  const word = t("code.copy");
  for (const button of document.querySelectorAll(".markdown button.copy")) button.textContent = word;
});
