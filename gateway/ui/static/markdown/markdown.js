/** A text of a model or a person, as what it means. This room alone makes nodes of text. */

import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { prose } from "./clean.js";
import { render } from "./render.js";

/**
 * @param {{text: string, done?: boolean, plain?: boolean}} props  `done`: nothing more will come; `plain`: as it was typed
 */
export function Markdown({ text, plain = false }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  useLayoutEffect(() => {
    if (plain) place.current?.replaceChildren(text);
    else place.current?.replaceChildren(prose(render(text)));
  }, [text, plain]);
  return html`<div class=${plain ? "markdown plain" : "markdown"} ref=${place}></div>`;
}
