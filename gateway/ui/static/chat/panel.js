/** The panel at the side: what is asked of the model, and what can be done with a chat. On a narrow screen it is a sheet. */

import { IconButton } from "../parts/buttons.js";
import { Dialog } from "../parts/dialog.js";
import { html, signal, useLayoutEffect, useId, useRef, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { showCode } from "./code_dialog.js";
import { Files } from "./files.js";
import { FormatSettings, formatOf } from "./format.js";
import { Sampling, chosenNames } from "./sampling.js";
import { changed, makeUsual } from "./settings.js";
import { current, setSettings } from "./state.js";
import { Tools } from "./tools.js";

export const panelOpen = signal(false);

const narrowly = matchMedia("(max-width: 60rem)");
const narrow = signal(narrowly.matches);
narrowly.addEventListener("change", ({ matches }) => (narrow.value = matches));

export function Panel() {
  const close = () => (panelOpen.value = false);
  if (!panelOpen.value) return null;
  if (narrow.value) return html`<${Dialog} title=${t("settings")} class="sheet panel" onClose=${close}><${Content} /><//>`;
  return html`<${Side} close=${close} />`;
}

/** @param {{close: () => void}} props */
function Side({ close }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const name = useId();
  // Before the next key: one pressed at once would find the focus where it was.
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    element.current?.querySelector("textarea")?.focus({ preventScroll: true });
    return () => before?.focus();
  }, []);
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // it would stop an answer
    close();
  };
  return html`<aside ref=${element} class="panel" id="panel" aria-labelledby=${name} onKeyDown=${press}>
    <header><h2 id=${name}>${t("settings")}</h2><${IconButton} icon="close" label=${t("close")} onClick=${close} /></header>
    <${Content} />
  </aside>`;
}

function Content() {
  const { settings } = current.value;
  const count = chosenNames(settings).length;
  const tools = settings.tools?.length ?? 0;
  const format = formatOf(settings).type;
  return html`<${System} key=${current.value.id} />
    <${Section} title=${t("sampling")} told=${count ? t("sampling.changed", { count }) : ""}><${Sampling} /><//>
    <${Section} title=${t("format")} told=${format === "text" ? "" : t(format === "json_schema" ? "format.schema" : "format.json")}><${FormatSettings} /><//>
    <${Section} title=${t("tools")} told=${tools ? t("tools.count", { count: tools }) : ""}><${Tools} /><//>
    <${Usual} />
    <section class="files" aria-label=${t("this")}>
      <h3>${t("this")}</h3>
      <button type="button" onClick=${() => showCode()}>${t("code.view")}</button>
      <${Files} />
    </section>`;
}

function System() {
  const id = useId();
  /** @param {{currentTarget: HTMLTextAreaElement}} event */
  const write = ({ currentTarget: { value } }) => setSettings(changed(current.value.settings, { system: value || undefined }));
  return html`<div class="field wide system">
    <label for=${id}>${t("system")}</label>
    <textarea id=${id} rows="5" value=${current.value.settings.system ?? ""} placeholder=${t("system.placeholder")} onInput=${write}
      aria-describedby=${`${id}-hint`}></textarea>
    <p class="hint" id=${`${id}-hint`}>${t("system.hint")}</p>
  </div>`;
}

/** @param {{title: string, told: string, children?: unknown}} props */
function Section({ title, told, children }) {
  const [open, setOpen] = useState(false);
  /** @param {{currentTarget: HTMLDetailsElement}} event */
  const toggle = ({ currentTarget }) => setOpen(currentTarget.open);
  return html`<details class="section" open=${open} onToggle=${toggle}>
    <summary><h3>${title}</h3> <span class="told">${told}</span></summary>
    ${open && children}
  </details>`;
}

function Usual() {
  const { settings } = current.value;
  const [made, setMade] = useState("");
  const now = JSON.stringify(settings);
  const make = () => {
    makeUsual(settings);
    setMade(now);
  };
  return html`<p class="actions usual">
    <button type="button" onClick=${make}>${t("default.make")}</button>
    <span class="hint" role="status">${made === now ? t("default.made") : ""}</span>
  </p>`;
}
