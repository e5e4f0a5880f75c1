/** The panel at the side: what is asked of the model. */

import { html, signal } from "../vendor/preact.js";

export const panelOpen = signal(false);

export function Panel() {
  return panelOpen.value ? html`<aside class="panel" id="panel"></aside>` : null;
}
