/** A call of a tool in an answer. */

import { html } from "../vendor/preact.js";

/** @import { Message, ToolCall } from "./types.js" */

/** @param {{call: ToolCall, message: Message}} props */
export function ToolCallView({ call }) {
  return html`<pre class="tool-call">${call.name}(${call.arguments})</pre>`;
}
