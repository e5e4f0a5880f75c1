/** The API key, where a gateway asks for one: entered, tried, forgotten. */

import { ApiError, askJson, key, refused } from "../api/client.js";
import { computed, html, signal, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { Dialog } from "./dialog.js";

/** Somebody wants to see the dialog. */
export const asksForKey = signal(false);
const open = computed(() => asksForKey.value || refused.value !== null);

export function KeyDialog() {
  return open.value ? html`<${Inside} />` : null;
}

function close() {
  asksForKey.value = false;
  refused.value = null;
}

function Inside() {
  const [text, setText] = useState(key.value);
  const [seen, setSeen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState(refused.value === "wrong" ? t("key.wrong") : "");

  /** @param {SubmitEvent} event */
  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await askJson("/v1/models", { headers: { Authorization: `Bearer ${text.trim()}` } });
      key.value = text.trim();
      close();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setTrouble(error.status === 401 ? t("key.wrong") : error.message);
    } finally {
      setBusy(false);
    }
  };
  const forget = () => {
    key.value = "";
    close();
  };

  return html`<${Dialog} title=${t("key.enter")} onClose=${close}>
    <form onSubmit=${save}>
      <p id="key-why">${t("key.why")}</p>
      <label for="key">${t("key")}</label>
      <input id="key" type=${seen ? "text" : "password"} autocomplete="off" spellcheck=${false} required autofocus value=${text}
        aria-describedby="key-why key-trouble" aria-invalid=${Boolean(trouble)} onInput=${(/** @type {InputEvent} */ event) => setText(/** @type {HTMLInputElement} */ (event.target).value)} />
      <p id="key-trouble" class="bad" role="alert">${trouble}</p>
      <label class="check"><input type="checkbox" checked=${seen} onChange=${() => setSeen(!seen)} /> ${t("key.show")}</label>
      <footer>
        ${key.value && html`<button type="button" class="plain" onClick=${forget}>${t("key.forget")}</button>`}
        <span class="grow"></span>
        <button type="button" class="plain" onClick=${close}>${t("cancel")}</button>
        <button class="main" disabled=${busy || !text.trim()}>${t("save")}</button>
      </footer>
    </form>
  <//>`;
}
