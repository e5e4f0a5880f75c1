/** From HTML to nodes, of which nothing runs, loads or submits. What a model writes is never trusted: DOMPurify has the last word. */

import purify from "../vendor/purify.js";

const LINK = /^(?:https?:\/\/|mailto:)[^\p{Cc}\p{Cf}\s]+$/iu;
const DIRECTED = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "LI", "BLOCKQUOTE", "TD", "TH"]);

/** What Markdown makes; no styles, forms, frames, pictures, or names by which nodes could stand in for others. */
const PROSE = {
  ALLOWED_TAGS: [
    ..."p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del a table thead tbody tr th td".split(" "),
    ..."b i u s sub sup kbd mark small span div".split(" "),
  ],
  ALLOWED_ATTR: ["href", "title", "start", "align", "class"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: LINK,
  ADD_URI_SAFE_ATTR: ["align", "start"],
  KEEP_CONTENT: true,
  RETURN_DOM_FRAGMENT: /** @type {const} */ (true),
};
/** What highlight.js makes. */
const COLOURS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: /** @type {const} */ (true) };

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  // A text that runs from right to left turns its own block, and no other.
  if (DIRECTED.has(node.tagName)) node.setAttribute("dir", "auto");
});

/** Whether a link may lead there: to the web or to a mailbox, and nowhere else. @param {string} url */
export const leads = (url) => LINK.test(url);

/** @param {string} made  by Markdown */
export const prose = (made) => purify.sanitize(made, PROSE);

/** @param {string} made  by highlight.js */
export const colours = (made) => purify.sanitize(made, COLOURS);
