/** A dialog that the rest of the page waits for. */

import { html, useId, useLayoutEffect, useRef } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { IconButton } from "./buttons.js";

/** @param {{title: string, onClose: () => void, children?: unknown, class?: string}} props  it is open while it is there */
export function Dialog({ title, onClose, children, class: kind = "" }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    const { current: dialog } = ref;
    dialog?.showModal();
    return () => {
      dialog?.close(); // while it is open nothing beside it takes the focus
      before?.focus();
    };
  }, []);
  /** @param {MouseEvent} event */
  const beside = (event) => event.target === ref.current && onClose();
  // It is told a moment after Escape: a key pressed meanwhile may have opened another one.
  const closed = () => ref.current && onClose();
  return html`<dialog ref=${ref} class=${`dialog ${kind}`} aria-labelledby=${id} onCancel=${onClose} onClose=${closed} onMouseDown=${beside}>
    <div class="dialog-inside">
      <header><h2 id=${id}>${title}</h2><${IconButton} icon="close" label=${t("close")} onClick=${onClose} /></header>
      ${children}
    </div>
  </dialog>`;
}
