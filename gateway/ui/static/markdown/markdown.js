/** A text of a model or a person, as what it means. This room alone makes nodes of text. */

import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { Stream } from "./stream.js";

/**
 * @param {{text: string, done?: boolean, plain?: boolean}} props  `done`: nothing more will come, as of a text that never
 *   grew; `plain`: as it was typed, but for code
 */
export function Markdown({ text, done = true, plain = false }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const stream = useRef(/** @type {Stream | null} */ (null));
  useLayoutEffect(() => {
    if (!place.current) return undefined;
    stream.current = new Stream(place.current, plain);
    return () => stream.current?.stop();
  }, [plain]);
  useLayoutEffect(() => stream.current?.write(text, done), [text, done, plain]);
  return html`<div class=${plain ? "markdown plain" : "markdown"} ref=${place}></div>`;
}
