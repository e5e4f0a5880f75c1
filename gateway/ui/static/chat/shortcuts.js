/** What keys do, and the dialog that tells it. */

import { Dialog } from "../parts/dialog.js";
import { html, signal, useEffect } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { showCode } from "./code_dialog.js";
import { panelOpen } from "./panel.js";
import { begin } from "./state.js";

/** @import { Word } from "../words/index.js" */

export const shortcutsOpen = signal(false);

const focus = (/** @type {string} */ id) => document.getElementById(id)?.focus();

/** Those with a modifier count everywhere, the others where nothing is written. @type {readonly {keys: string[], word: Word, run: () => void}[]} */
const SHORTCUTS = [
  { keys: ["Ctrl", "Shift", "O"], word: "new", run: begin },
  { keys: ["Ctrl", "K"], word: "search", run: () => focus("search") },
  { keys: ["Ctrl", "."], word: "panel", run: () => (panelOpen.value = !panelOpen.value) },
  { keys: ["/"], word: "ask", run: () => focus("composer") },
  { keys: ["c"], word: "code.view", run: () => showCode() },
  { keys: ["?"], word: "shortcuts", run: () => (shortcutsOpen.value = true) },
];
/** What other rooms do with keys. @type {readonly {keys: string[], word: Word}[]} */
const OTHERS = [
  { keys: ["Enter"], word: "send" },
  { keys: ["Shift", "Enter"], word: "shortcut.line" },
  { keys: ["Esc"], word: "shortcut.escape" },
];
const apple = /Mac|iPhone|iPad/.test(navigator.platform);

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.isComposing || event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
  const modified = apple ? event.metaKey : event.ctrlKey;
  const writes = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, [contenteditable]");
  const found = SHORTCUTS.find(({ keys }) => {
    const same = keys[keys.length - 1]?.toLowerCase() === event.key.toLowerCase();
    return same && (keys[0] === "Ctrl" ? modified && keys.includes("Shift") === event.shiftKey : !modified && !writes);
  });
  if (!found) return;
  event.preventDefault();
  found.run();
}

export function Shortcuts() {
  useEffect(() => {
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  if (!shortcutsOpen.value) return null;
  return html`<${Dialog} title=${t("shortcuts")} onClose=${() => (shortcutsOpen.value = false)}>
    <dl class="shortcuts">
      ${[...OTHERS, ...SHORTCUTS].map(
        ({ keys, word }) => html`<div key=${word}>
          <dt>${t(word)}</dt>
          <dd>${keys.map((key) => html`<kbd key=${key}>${key === "Ctrl" && apple ? "⌘" : key}</kbd> `)}</dd>
        </div>`,
      )}
    </dl>
  <//>`;
}
