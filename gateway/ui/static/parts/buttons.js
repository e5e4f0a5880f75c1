/** Buttons that are a picture, and the one that copies. */

import { html, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { Icon } from "./icons.js";
import { notify } from "./notices.js";

/** @import { IconName } from "./icons.js" */

/** Milliseconds for which a button says that it has copied. */
const COPIED = 1500;

/** @param {{icon: IconName, label: string, onClick: (event: MouseEvent) => void} & Record<string, unknown>} props */
export function IconButton({ icon, label, ...rest }) {
  return html`<button type="button" class="icon-button" aria-label=${label} title=${label} ...${rest}><${Icon} name=${icon} /></button>`;
}

/**
 * Put a text on the clipboard. Pages that came over plain HTTP from another machine have to do it the old way.
 * @param {string} text
 */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  if (!done) throw new Error("not copied");
}

/** @param {{text: () => string, label?: string}} props */
export function CopyButton({ text, label = t("copy") }) {
  const [done, setDone] = useState(false);
  const click = async () => {
    try {
      await copy(text());
      setDone(true);
      setTimeout(() => setDone(false), COPIED);
    } catch {
      notify(t("copy.failed")); // the browser asks its user, or forbids it
    }
  };
  return html`<${IconButton} icon=${done ? "check" : "copy"} label=${done ? t("copied") : label} onClick=${click} />`;
}
