/** Chats to files and back: the buttons, and a place to drop a file on. */

import { notify } from "../parts/notices.js";
import { html, signal, useEffect, useRef } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { Wrong } from "./shape.js";
import { add, current, every, heads, open, store } from "./state.js";
import { LARGEST_FILE, exported, fileName, imported, markdown } from "./transfer.js";

/** Why the last import was refused: it stays until the next. */
const refused = signal("");

/** @param {string} name @param {string} type @param {AsyncIterable<string>} pieces */
async function save(name, type, pieces) {
  const parts = /** @type {Blob[]} */ ([]);
  for await (const piece of pieces) parts.push(new Blob([piece])); // which a browser may put on a disk
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const saveJson = () => save(fileName(current.value.title, "json"), "application/json", exported([current.value]));
export const saveAll = () => save("inferq-chats.json", "application/json", exported(every()));
export const saveMarkdown = () => {
  const text = markdown(current.value, { you: t("you"), thoughts: t("thoughts"), result: t("tool") });
  return save(fileName(current.value.title, "md"), "text/markdown", (async function* () { yield text; })());
};

/**
 * Take in all chats of a file, or none, and say so. One alone is opened.
 * @param {File} file
 */
export async function take(file) {
  refused.value = "";
  try {
    if (file.size > LARGEST_FILE) throw new RangeError();
    const ids = new Set((await (await store()).heads()).map(({ id }) => id));
    const found = imported(await file.text(), (id) => ids.has(id));
    await add(...found);
    if (found.length === 1 && found[0]) await open(found[0].id);
    notify(t("import.done", { count: found.length }));
  } catch (error) {
    refused.value = refusal(file.name, error);
    notify(refused.value); // where no panel is open
  }
}

/** @param {string} file @param {unknown} error */
function refusal(file, error) {
  if (error instanceof RangeError) return t("import.large", { file, size: LARGEST_FILE / 1024 / 1024 });
  if (error instanceof SyntaxError) return t("import.no_json", { file, reason: error.message });
  if (!(error instanceof Wrong)) throw error;
  return error.place === "version" ? t("import.version", { file }) : t("import.wrong", { file, place: error.place || "JSON", expected: error.expected });
}

export function Files() {
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const empty = !Object.keys(current.value.messages).length;
  const pick = async () => {
    const file = picker.current?.files?.[0];
    if (file) await take(file);
    if (picker.current) picker.current.value = "";
  };
  return html`<button type="button" disabled=${empty} onClick=${saveMarkdown}>${t("export.markdown")}</button>
    <button type="button" disabled=${empty} onClick=${saveJson}>${t("export.json")}</button>
    <h3>${t("all")}</h3>
    <button type="button" disabled=${!heads.value.length} onClick=${saveAll}>${t("export.all")}</button>
    <button type="button" onClick=${() => picker.current?.click()}>${t("import")}</button>
    <input ref=${picker} type="file" accept="application/json,.json" hidden onChange=${pick} />
    <p class="wrong">${refused.value}</p>`;
}

/** What a file over the page looks like, and where it goes. */
export function DropPlace() {
  const over = useRef(signal(false)).current;
  useEffect(() => {
    /** @param {DragEvent} event */
    const drag = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // the browser would leave the page for it
      over.value = event.type === "dragover";
      if (event.type !== "drop") return;
      const [file] = event.dataTransfer.files;
      if (file) void take(file);
    };
    /** @param {DragEvent} event */
    const leave = (event) => event.relatedTarget || (over.value = false);
    addEventListener("dragover", drag);
    addEventListener("drop", drag);
    addEventListener("dragleave", leave);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("drop", drag);
      removeEventListener("dragleave", leave);
    };
  }, []);
  return over.value && html`<div class="drop-place"><p>${t("import.drop")}</p></div>`;
}
