/** One message, and what can be done with it. */

import { html, signal, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { Markdown } from "../markdown/markdown.js";
import { CopyButton, IconButton } from "../parts/buttons.js";
import { keep, kept } from "../parts/kept.js";
import { notify } from "../parts/notices.js";
import { t } from "../words/index.js";
import { answers, goOn, regenerate, send, stop } from "./answers.js";
import { grow, toComposer } from "./composer.js";
import { add, current, drop, show, shown } from "./state.js";
import { JsonAnswer, isJson } from "./json_answer.js";
import { Outcome, Standing } from "./standing.js";
import { ToolCalls } from "./tool_call.js";
import { children, under } from "./tree.js";

/** @import { Message } from "./types.js" */

/** Whether thoughts are shown while they come. */
const watches = signal(kept("inferq.thoughts") === "open");

/** @param {{message: Message, index: number, count: number}} props  `index` among its `count` branches */
export function MessageView({ message, index, count }) {
  const [editing, setEditing] = useState(false);
  const running = answers.value.get(message.id)?.value;
  const said = running?.message ?? message;
  const name = said.role === "user" ? t("you") : said.role === "tool" ? resultOf(said) : t("model.answer", { model: said.model ?? "" });
  return html`<article class=${`message ${said.role}`} aria-label=${name} aria-busy=${Boolean(running)}>
    ${editing
      ? html`<${Editing} message=${said} onClose=${() => setEditing(false)} />`
      : said.role === "assistant"
        ? html`<${Answer} message=${said} running=${Boolean(running)} />`
        : html`${said.role === "tool" && html`<p class="call-head">${name}</p>`}
            <div class="said"><${Markdown} text=${said.content} plain /></div>`}
    <footer>
      ${running ? html`<${Standing} phase=${running.phase} model=${said.model} />` : html`<${Actions} message=${said} onEdit=${() => setEditing(true)} />`}
      ${count > 1 && html`<${Branches} message=${said} index=${index} count=${count} />`}
      ${!running && html`<${Outcome} message=${said} />`}
    </footer>
  </article>`;
}

/** What a tool's result is called: by its tool, where the call is there. @param {Message} said */
function resultOf({ toolCallId }) {
  const call = shown.value.flatMap(({ toolCalls = [] }) => toolCalls).findLast(({ id }) => id === toolCallId);
  return call ? t("call.result", { name: call.name }) : t("tool");
}

/** @param {{message: Message, running: boolean}} props */
function Answer({ message, running }) {
  const { content, reasoning, toolCalls = [] } = message;
  return html`
    ${reasoning && html`<${Thoughts} text=${reasoning} thinking=${running && !content && !toolCalls.length} done=${!running} />`}
    ${content && html`<div class="answer">
      ${isJson(message) ? html`<${JsonAnswer} message=${message} running=${running} />` : html`<${Markdown} text=${content} done=${!running} />`}
    </div>`}
    ${toolCalls.length > 0 && html`<${ToolCalls} message=${message} running=${running} />`}
  `;
}

/** @param {{text: string, thinking: boolean, done: boolean}} props */
function Thoughts({ text, thinking, done }) {
  const ref = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  useEffect(() => {
    if (thinking && watches.value) ref.current?.setAttribute("open", "");
  }, []);
  const toggle = () => {
    if (!thinking || !ref.current) return;
    watches.value = ref.current.open;
    keep("inferq.thoughts", ref.current.open ? "open" : "closed");
  };
  return html`<details class="thoughts" ref=${ref} onToggle=${toggle}>
    <summary>${t(thinking ? "thinking" : "thoughts")}</summary>
    <${Markdown} text=${text} done=${done} />
  </details>`;
}

/** @param {{message: Message, onEdit: () => void}} props */
function Actions({ message, onEdit }) {
  const { role, content, state, finish, toolCalls } = message;
  const cut = state === "stopped" || (state === "done" && finish === "length") || state === "failed";
  const remove = async () => {
    const runs = under(current.value, message.id).filter((id) => answers.value.has(id));
    await Promise.all(runs.map(stop));
    const before = await drop(message);
    toComposer();
    notify(t("deleted.message"), () => void add(before));
  };
  const make = (/** @type {(message: Message) => Promise<void>} */ answered) => {
    toComposer();
    void answered(message);
  };
  return html`<div class="actions">
    ${content && html`<${CopyButton} text=${() => content} label=${t("copy.message")} />`}
    ${role === "user" && html`<${IconButton} icon="edit" label=${t("edit")} onClick=${onEdit} />`}
    ${role === "assistant" && html`<${IconButton} icon="again" label=${t("regenerate")} onClick=${() => make(regenerate)} />`}
    ${role === "assistant" && cut && content && !toolCalls?.length && html`<${IconButton} icon="go" label=${t("continue")} onClick=${() => make(goOn)} />`}
    <${IconButton} icon="bin" label=${t("delete")} onClick=${() => void remove()} />
  </div>`;
}

/** @param {{message: Message, index: number, count: number}} props */
function Branches({ message, index, count }) {
  const turn = (/** @type {number} */ by) => {
    const to = children(current.value, message.parent)[index + by];
    if (to) void show(to.id);
  };
  return html`<div class="branches" role="group" aria-label=${t("branches")}>
    <${IconButton} icon="left" label=${t("branch.before")} disabled=${index === 0} onClick=${() => turn(-1)} />
    <span role="img" aria-label=${t("branch", { index: index + 1, count })}>${index + 1}/${count}</span>
    <${IconButton} icon="right" label=${t("branch.after")} disabled=${index === count - 1} onClick=${() => turn(1)} />
  </div>`;
}

/** @param {{message: Message, onClose: () => void}} props */
function Editing({ message, onClose }) {
  const [text, setText] = useState(message.content);
  const ref = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useLayoutEffect(() => {  // before anybody can write
    ref.current?.focus();
    ref.current?.setSelectionRange(text.length, text.length);
  }, []);
  useEffect(() => grow(ref.current), [text]);
  const save = () => {
    onClose();
    toComposer();
    if (text.trim()) void send(text.trim(), message.parent);
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) save();
    else if (event.key === "Escape") onClose();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="editing">
    <textarea ref=${ref} rows="2" aria-label=${t("edit.text")} value=${text} onKeyDown=${press}
      onInput=${(/** @type {InputEvent} */ event) => setText(/** @type {HTMLTextAreaElement} */ (event.target).value)}></textarea>
    <div class="buttons">
      <button type="button" class="plain" onClick=${onClose}>${t("cancel")}</button>
      <button type="button" class="main" disabled=${!text.trim()} onClick=${save}>${t("send")}</button>
    </div>
  </div>`;
}
