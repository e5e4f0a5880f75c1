/** A text of a model or a person, as what it means. This room alone makes nodes of text. */

import { html } from "../vendor/preact.js";

/** @param {{text: string, done?: boolean}} props  `done`: nothing more will come */
export function Markdown({ text }) {
  return html`<div class="markdown">${text}</div>`;
}
