/** Calls of tools in an answer: what is called with what, and a form for the results. */

import { html, useEffect, useId, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { readHere, reply } from "./answers.js";
import { tidy } from "./json_answer.js";
import { current, shown } from "./state.js";
import { children } from "./tree.js";

/** @import { Message, Tool, ToolCall } from "./types.js" */

/** How many answers in a row are given by themselves: a model may call for ever. */
const MOST_ROUNDS = 8;

/** A call: its arguments in lines, or as they are while they come. @param {{call: ToolCall, children?: unknown}} props */
function Call({ call, children: form }) {
  const [before, after] = t("call", { name: "\n" }).split("\n"); // the name stands elsewhere in each language
  return html`<section class="tool-call" aria-label=${t("call", { name: call.name })}>
    <p class="call-head">${before}<code>${call.name}</code>${after}</p>
    <pre tabindex="0"><code>${tidy(call.arguments) ?? call.arguments}</code></pre>
    ${form}
  </section>`;
}

/** All calls of an answer; where they have no results yet, with a form for them. @param {{message: Message, running: boolean}} props */
export function ToolCalls({ message, running }) {
  const calls = message.toolCalls ?? [];
  if (running || message.finish !== "tool_calls" || children(current.value, message.id).length > 0) {
    return html`${calls.map((call) => html`<${Call} key=${call.id} call=${call} />`)}`;
  }
  return html`<${Results} message=${message} calls=${calls} />`;
}

/** @param {{message: Message, calls: ToolCall[]}} props */
function Results({ message, calls }) {
  const tools = current.value.settings.tools ?? [];
  const [results, setResults] = useState(() => calls.map((call) => stub(call, tools)?.answer ?? ""));
  const [sent, setSent] = useState(false);
  const id = useId();
  const alone = calls.every((call) => stub(call, tools)?.automatic) && rounds() <= MOST_ROUNDS;
  const send = () => {
    setSent(true);
    void reply(message, calls.map((call, index) => ({ toolCallId: call.id, content: results[index] ?? "" })));
  };
  useEffect(() => {
    if (alone && readHere.has(message.id)) send();
  }, []);
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    send();
  };
  return html`<form class="results" onSubmit=${submit}>
    ${calls.map(
      (call, index) => html`<${Call} key=${call.id} call=${call}>
        <label for=${`${id}-${index}`}>${t("call.result", { name: call.name })}</label>
        <textarea id=${`${id}-${index}`} class="code" rows="2" spellcheck=${false} value=${results[index]} placeholder=${t("call.result.placeholder")}
          onInput=${(/** @type {{currentTarget: HTMLTextAreaElement}} */ { currentTarget }) => setResults(results.with(index, currentTarget.value))}></textarea>
      <//>`,
    )}
    <p class="actions">
      <button class="main" disabled=${sent}>${t(calls.length > 1 ? "call.send.all" : "call.send")}</button>
      ${calls.length > 1 && html`<span class="hint">${t("call.wait", { count: calls.length })}</span>`}
    </p>
  </form>`;
}

/** @param {ToolCall} call @param {Tool[]} tools */
function stub({ name }, tools) {
  return tools.find((tool) => tool.name === name);
}

/** How many answers with calls there are since somebody has said something. */
function rounds() {
  const said = shown.value.findLastIndex(({ role }) => role === "user");
  return shown.value.slice(said).filter(({ role, toolCalls }) => role === "assistant" && toolCalls?.length).length;
}
