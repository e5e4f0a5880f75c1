/** From the text of one block to its nodes. */

import { prose } from "./clean.js";
import { mark } from "./formulas.js";
import { intricate } from "./intricate.js";
import { Listing } from "./listing.js";
import { render } from "./render.js";

/** @param {string} text  @param {boolean} plain  as it was typed @param {string} [head]  of the table that goes on @returns {Node[]} */
export function build(text, plain, head = "") {
  if (plain || intricate(head + text)) return [typed(text)];
  const made = prose(render(head + text));
  for (const pre of made.querySelectorAll("pre")) {
    const listing = new Listing(pre.title);
    listing.append(pre.textContent ?? "");
    listing.close();
    pre.replaceWith(listing.node);
  }
  for (const table of made.querySelectorAll(".table")) table.setAttribute("tabindex", "0");
  mark(made);
  return [...made.childNodes].filter((node) => !(node instanceof Text) || node.data.trim());
}

/** @param {string} text */
function typed(text) {
  const node = document.createElement("p");
  node.className = "typed";
  node.dir = "auto";
  node.textContent = text.replace(/\s+$/, "");
  return node;
}
