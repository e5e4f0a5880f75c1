/** Small pictures, drawn in the colour of the text. Whoever shows one says in words what it means. */

import { html } from "../vendor/preact.js";

/** Strokes on a field of 24. */
const STROKES = {
  menu: "M4 6h16M4 12h16M4 18h16",
  plus: "M12 5v14M5 12h14",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  left: "M15 6l-6 6 6 6",
  right: "M9 6l6 6-6 6",
  open: "M6 9l6 6 6-6",
  stop: "M6 6h12v12H6z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 13l4 4L19 7",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  again: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  go: "M8 5l11 7-11 7z",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  panel: "M4 7h9M17 7h3M15 5v4M4 12h3M11 12h9M9 10v4M4 17h11M19 17h1M17 15v4",
  overview: "M4 19V5M4 19h16M8 16v-4M12 16V8M16 16v-6",
  gear: "M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M5.6 18.4l2.2-2.2M16.2 7.8l2.2-2.2M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  key: "M14 10a4 4 0 1 0-3.5 4L12 15.5h2v2h2v2h4v-3l-6-6.5",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.5 16.5L21 21",
  warning: "M12 4L2.5 20h19zM12 10v4M12 17h.01",
};
/** @typedef {keyof typeof STROKES} IconName */

/** @param {{name: IconName}} props */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${STROKES[name]} /></svg>`;
}
