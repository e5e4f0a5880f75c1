/** The page of the chat: conversations at one side, what is said in the middle, settings at the other side. */

import { effect, html, signal, useEffect } from "../vendor/preact.js";
import { AppearanceMenu } from "../parts/appearance.js";
import { IconButton } from "../parts/buttons.js";
import { Icon } from "../parts/icons.js";
import { keep, kept } from "../parts/kept.js";
import { KeyDialog } from "../parts/key.js";
import { Notices } from "../parts/notices.js";
import { t } from "../words/index.js";
import { isAnswering, stop } from "./answers.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { Announcer } from "./announcer.js";
import { CodeDialog } from "./code_dialog.js";
import { DropPlace } from "./files.js";
import { Messages } from "./messages.js";
import { Panel, panelOpen } from "./panel.js";
import { ModelPicker } from "./picker.js";
import { Shortcuts } from "./shortcuts.js";
import { begin, current, shown, trouble } from "./state.js";
import { Welcome } from "./welcome.js";

/** Where there is no room for the conversations beside the rest, they are a drawer. */
const narrow = matchMedia("(max-width: 60rem)");
const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));
const drawerOpen = signal(false);
const sideOpen = signal(kept("inferq.side") !== "closed");

effect(() => {
  document.title = current.value.title ? `${current.value.title} - inferq` : "inferq";
});

function toggleSide() {
  if (isNarrow.value) drawerOpen.value = !drawerOpen.value;
  else {
    sideOpen.value = !sideOpen.value;
    keep("inferq.side", sideOpen.value ? "open" : "closed");
  }
}

function closeDrawer() {
  if (!drawerOpen.value) return;
  drawerOpen.value = false;
  requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector("[aria-controls=side]"))?.focus());
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (isNarrow.value && drawerOpen.value) closeDrawer();
  else if (isAnswering()) void stop(shown.value[shown.value.length - 1]?.id ?? "");
}

export function Chat() {
  useEffect(() => {
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  const open = isNarrow.value ? drawerOpen.value : sideOpen.value;
  const drawer = isNarrow.value && open;
  useEffect(() => {
    if (drawer) /** @type {HTMLElement | null} */ (document.querySelector("#side button"))?.focus();
  }, [drawer]);
  const empty = shown.value.length === 0;
  return html`<div class="chat" data-side=${open ? "open" : "closed"}>
    <a class="skip" href="#composer" onClick=${skip}>${t("skip")}</a>
    <nav class="side" id="side" aria-label=${t("conversations")} inert=${!open}>
      <${Conversations} onChosen=${closeDrawer} onClose=${isNarrow.value ? closeDrawer : undefined} />
    </nav>
    ${drawer && html`<div class="veil" onClick=${closeDrawer}></div>`}
    <div class="middle" inert=${drawer}>
      <header class="bar">
        <${IconButton} icon="menu" label=${t(open ? "conversations.hide" : "conversations.show")} onClick=${toggleSide} aria-expanded=${open} aria-controls="side" />
        <${IconButton} icon="plus" label=${t("new")} onClick=${() => begin()} class="icon-button new" />
        <${ModelPicker} />
        <span class="grow"></span>
        <a class="icon-button" href="/overview" aria-label=${t("title.overview")} title=${t("title.overview")}><${Icon} name="overview" /></a>
        <${IconButton} icon="panel" label=${t("panel")} onClick=${() => (panelOpen.value = !panelOpen.value)} aria-expanded=${panelOpen.value} aria-controls="panel" />
        <${AppearanceMenu} />
      </header>
      ${trouble.value && html`<p class="trouble" role="alert"><${Icon} name="warning" /> ${t(`trouble.${trouble.value}`)}</p>`}
      <main>
        <h1 class="unseen">${current.value.title || t("new")}</h1>
        ${empty ? html`<${Welcome} />` : html`<${Messages} key=${current.value.id} />`}
        <${Composer} key=${`composer ${current.value.id}`} />
      </main>
    </div>
    <${Panel} />
    <${CodeDialog} />
    <${Shortcuts} />
    <${DropPlace} />
    <${Announcer} />
    <${Notices} />
    <${KeyDialog} />
  </div>`;
}

/** @param {MouseEvent} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("composer")?.focus();
}

