/** A button that opens a menu: by pointer, arrows, letters, and closed by Escape or whatever happens elsewhere. */

import { html, useLayoutEffect, useRef, useState } from "../vendor/preact.js";

/**
 * @typedef {object} MenuItem
 * @property {string} [label]
 * @property {unknown} [content]  in place of the label, which then is its name
 * @property {boolean} [checked]  one of those of which one is chosen
 * @property {string} [group]  above it
 * @property {string} [href]
 * @property {() => void} [onSelect]
 */

/** @param {{label: string, items: () => MenuItem[], children: unknown, class?: string, onOpen?: () => void}} props */
export function Menu({ label, items, children, class: kind = "", onOpen }) {
  const [open, setOpen] = useState(false);
  const root = useRef(/** @type {HTMLDivElement | null} */ (null));
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const entries = () => /** @type {HTMLElement[]} */ ([...(root.current?.querySelectorAll("[role^=menuitem]") ?? [])]);
  const close = (back = true) => {
    setOpen(false);
    if (back) button.current?.focus();
  };

  // Before the next key: one pressed at once would close what then takes the focus with it.
  useLayoutEffect(() => {
    if (!open) return;
    onOpen?.();
    (entries().find((entry) => entry.getAttribute("aria-checked") === "true") ?? entries()[0])?.focus();
    /** @param {PointerEvent} event */
    const outside = (event) => root.current?.contains(/** @type {Node} */ (event.target)) || close(false);
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (!open) return;
    const all = entries();
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Tab") return close(false);
    else if (to !== undefined) all.at(to % all.length)?.focus();
    else if (event.key.length === 1 && event.key !== " ") {
      const rest = [...all.slice(at + 1), ...all.slice(0, at + 1)];
      rest.find((entry) => entry.textContent?.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  /** @param {MenuItem} item */
  const choose = ({ onSelect }) => {
    close();
    onSelect?.();
  };

  return html`<div class=${`menu ${kind}`} ref=${root} onKeyDown=${press}>
    <button type="button" class="menu-button" ref=${button} aria-haspopup="menu" aria-expanded=${open} aria-label=${label} title=${label}
      onClick=${() => (open ? close() : setOpen(true))}>${children}</button>
    ${open &&
    html`<div class="menu-items" role="menu" aria-label=${label}>
      ${items().map((item) => html`
        ${item.group && html`<p class="menu-group" role="presentation">${item.group}</p>`}
        ${item.href
          ? html`<a role="menuitem" tabindex="-1" href=${item.href}>${item.content ?? item.label}</a>`
          : html`<button type="button" tabindex="-1" role=${item.checked === undefined ? "menuitem" : "menuitemradio"}
              aria-checked=${item.checked} onClick=${() => choose(item)}>${item.content ?? item.label}</button>`}
      `)}
    </div>`}
  </div>`;
}
