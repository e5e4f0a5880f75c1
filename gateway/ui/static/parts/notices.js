/** What the page says in passing, with a way to undo it. */

import { html, signal } from "../vendor/preact.js";
import { t } from "../words/index.js";

/** Milliseconds for which a notice stays. */
const STAY = 10_000;
/** How many are shown. */
const MOST = 3;

/** @typedef {{id: number, text: string, undo?: () => void}} Notice */
const notices = signal(/** @type {Notice[]} */ ([]));
let last = 0;

/**
 * @param {string} text
 * @param {() => void} [undo]
 */
export function notify(text, undo) {
  const id = (last += 1);
  notices.value = [...notices.value, { id, text, undo }].slice(-MOST);
  setTimeout(() => dismiss(id), STAY);
}

/** @param {number} id */
function dismiss(id) {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function Notices() {
  return html`<div class="notices" role="status">
    ${notices.value.map(
      ({ id, text, undo }) => html`<p class="notice" key=${id}>
        <span>${text}</span>
        ${undo && html`<button type="button" class="link" onClick=${() => (dismiss(id), undo())}>${t("undo")}</button>`}
      </p>`,
    )}
  </div>`;
}
