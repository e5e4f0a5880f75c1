/** A field for JSON: what is no object is told beside it, and changes nothing. */

import { html, useEffect, useId, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { schema } from "./settings.js";
import { Wrong } from "./shape.js";

/**
 * What a text says: an object, nothing, or what is wrong with it.
 * @param {string} text
 * @returns {{value?: object, wrong?: string}}
 */
export function readJson(text) {
  if (!text.trim()) return {};
  try {
    return { value: schema(JSON.parse(text), "") };
  } catch (error) {
    if (error instanceof Wrong) return { wrong: t(error.expected === "object" ? "json.object" : "json.large") };
    return { wrong: t("json.wrong", { reason: error instanceof Error ? error.message : "" }) };
  }
}

/** @param {object | undefined} value */
const tidy = (value) => (value ? JSON.stringify(value, null, 2) : "");

/** @param {{label: string, value: object | undefined, change: (value: object | undefined) => void, rows?: number}} props */
export function JsonField({ label, value, change, rows = 10 }) {
  const [draft, setDraft] = useState(tidy(value));
  const { value: meant, wrong } = readJson(draft);
  const id = useId();
  useEffect(() => {
    if (!wrong && JSON.stringify(meant) !== JSON.stringify(value)) setDraft(tidy(value)); // an example was chosen
  }, [value]);
  /** @param {{currentTarget: HTMLTextAreaElement}} event */
  const type = ({ currentTarget }) => {
    setDraft(currentTarget.value);
    const said = readJson(currentTarget.value);
    if (!said.wrong) change(said.value);
  };
  return html`<div class="field wide">
    <div class="field-head">
      <label for=${id}>${label}</label>
      <button type="button" class="plain" disabled=${!meant} onClick=${() => setDraft(tidy(meant))}>${t("json.tidy")}</button>
    </div>
    <textarea id=${id} class="code" rows=${rows} spellcheck=${false} autocapitalize="off" value=${draft} onInput=${type}
      aria-invalid=${Boolean(wrong)} aria-describedby=${`${id}-told`}></textarea>
    <p id=${`${id}-told`} class="wrong" role="status">${wrong && `${wrong} ${t("field.kept")}`}</p>
  </div>`;
}
