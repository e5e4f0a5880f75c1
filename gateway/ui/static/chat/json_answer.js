/** An answer that was to be JSON: in lines, and whether it is. */

import { Markdown } from "../markdown/markdown.js";
import { html } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { formatOf } from "./format.js";
import { fenced } from "./transfer.js";

/** @import { Message } from "./types.js" */
/** @import { Word } from "../words/index.js" */

/** Whether an answer was to be JSON. @param {Message} message */
export function isJson({ settings }) {
  return settings !== undefined && formatOf(settings).type !== "text";
}

/** @param {string} text @returns {string | null}  null: it is none */
export function tidy(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

/** @param {{message: Message, running: boolean}} props */
export function JsonAnswer({ message, running }) {
  const { content } = message;
  const lines = running ? null : tidy(content);
  return html`<${Markdown} text=${fenced(lines ?? content, "json")} done=${!running} />
    ${!running && html`<p class=${lines === null ? "verdict wrong" : "verdict"}>${t(verdict(message, lines !== null))}</p>`}`;
}

/** What can be said of it: the schema is the gateway's promise, which is not checked once more. @param {Message} message @param {boolean} valid @returns {Word} */
function verdict({ finish, state, settings }, valid) {
  if (!valid) return state !== "done" || finish === "length" ? "json.answer.cut" : "json.answer.bad";
  return formatOf(settings ?? {}).json_schema?.strict ? "json.answer" : "json.answer.any";
}
