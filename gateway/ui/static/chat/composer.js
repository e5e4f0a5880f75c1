/** Where the next message is written. */

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { Icon } from "../parts/icons.js";
import { keep, kept } from "../parts/kept.js";
import { t } from "../words/index.js";
import { answers, send, stop } from "./answers.js";
import { chosen } from "./models.js";
import { current, heads, shown } from "./state.js";

/** Where a finger writes, Enter begins a line: there is no other key for that. */
const finger = matchMedia("(pointer: coarse)");

/** Under which a draft is kept: a conversation that nothing was said in has no name that lasts. */
function place() {
  const { id } = current.value;
  return `inferq.draft.${heads.value.some((head) => head.id === id) ? id : "new"}`;
}

export function Composer() {
  const [text, setText] = useState(() => kept(place()) ?? "");
  const ref = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const last = shown.value[shown.value.length - 1];
  /** It was sent before it was known which models there are. */
  const early = useRef(false);
  const runs = last !== undefined && answers.value.has(last.id);
  const ready = Boolean(text.trim() && chosen.value && !runs);

  useEffect(() => {
    if (!finger.matches) ref.current?.focus();
  }, []);
  useEffect(() => grow(ref.current), [text]);
  useEffect(() => {
    if (early.current && ready) say();
  }, [ready]);

  /** @param {string} value */
  const write = (value) => {
    early.current = false;
    setText(value);
    keep(place(), value);
  };
  const say = () => {
    if (!ready) {
      early.current = !chosen.value;
      return;
    }
    write("");
    ref.current?.focus();
    void send(text.trim());
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || finger.matches) return;
    event.preventDefault();
    say();
  };
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    if (runs) void stop(last.id);
    else say();
  };

  return html`<form class="composer" onSubmit=${submit}>
    <label class="unseen" for="composer">${t("ask")}</label>
    <textarea id="composer" ref=${ref} rows="1" value=${text} placeholder=${t("ask")} aria-describedby="composer-hint" enterkeyhint=${finger.matches ? "enter" : "send"}
      onInput=${(/** @type {InputEvent} */ event) => write(/** @type {HTMLTextAreaElement} */ (event.target).value)} onKeyDown=${press}></textarea>
    <span class="unseen" id="composer-hint">${t("ask.hint")}</span>
    <button class="main round" aria-label=${t(runs ? "stop" : "send")} title=${t(runs ? "stop" : "send")} disabled=${!runs && !ready}>
      <${Icon} name=${runs ? "stop" : "up"} />
    </button>
  </form>`;
}

/** Whatever had the focus is gone. A finger had none, and would get a keyboard. */
export function toComposer() {
  if (!finger.matches) document.getElementById("composer")?.focus();
}

/**
 * As high as its text, where styles cannot say so.
 * @param {HTMLTextAreaElement | null} field
 */
export function grow(field) {
  if (!field || CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}
