/** All conversations, by last use. */

import { html, signal, useEffect, useRef } from "../vendor/preact.js";
import { IconButton } from "../parts/buttons.js";
import { Icon } from "../parts/icons.js";
import { Menu } from "../parts/menu.js";
import { notify } from "../parts/notices.js";
import { t } from "../words/index.js";
import { answers, stop } from "./answers.js";
import { toComposer } from "./composer.js";
import { Search } from "./search.js";
import { add, amend, begin, current, heads, matches, remove } from "./state.js";

/** @import { Head } from "./types.js" */

const DAY = 86_400_000;
/** The one that is being renamed. */
const renamed = signal("");

/** @param {{onChosen: () => void, onClose?: () => void}} props  `onClose` where they hide the rest */
export function Conversations({ onChosen, onClose }) {
  const found = matches.value;
  const list = found ? heads.value.filter(({ id }) => found.has(id)) : heads.value;
  const start = () => {
    begin();
    onChosen();
    document.getElementById("composer")?.focus();
  };
  return html`
    <div class="side-head">
      <button type="button" class="new-chat" onClick=${start}><${Icon} name="plus" /> ${t("new")}</button>
      ${onClose && html`<${IconButton} icon="close" label=${t("conversations.hide")} onClick=${onClose} />`}
    </div>
    <${Search} />
    ${!list.length && html`<p class="quiet hint">${t(found ? "conversations.unmatched" : "conversations.none")}</p>`}
    <div class="list">
      ${groups(list).map(
        ([title, members]) => html`<section key=${title} aria-label=${title}>
          <h2>${title}</h2>
          <ul>${members.map((head) => html`<${Entry} key=${head.id} head=${head} onChosen=${onChosen} />`)}</ul>
        </section>`,
      )}
    </div>
  `;
}

/** @param {Head[]} list  @returns {[string, Head[]][]} */
function groups(list) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const parted = /** @type {[string, Head[]][]} */ ([[t("today"), []], [t("week"), []], [t("earlier"), []]]);
  for (const head of list) parted[head.updated >= midnight ? 0 : head.updated >= midnight - 6 * DAY ? 1 : 2]?.[1].push(head);
  return parted.filter(([, members]) => members.length);
}

/** @param {{head: Head, onChosen: () => void}} props */
function Entry({ head, onChosen }) {
  const title = head.title || t("untitled");
  const items = () => [
    { label: t("rename"), onSelect: () => (renamed.value = head.id) },
    { label: t("delete"), onSelect: () => void takeAway(head) },
  ];
  return html`<li class=${`entry${current.value.id === head.id ? " open" : ""}`}>
    ${renamed.value === head.id
      ? html`<${Renaming} head=${head} />`
      : html`<a href=${`#${head.id}`} aria-current=${current.value.id === head.id ? "page" : undefined} title=${title} onClick=${onChosen}>${title}</a>
          <${Menu} label=${t("more", { title })} items=${items} class="at-end"><${Icon} name="more" /><//>`}
  </li>`;
}

/** @param {{head: Head}} props */
function Renaming({ head }) {
  const ref = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => ref.current?.select(), []);
  const end = (/** @type {boolean} */ keep) => {
    if (renamed.value !== head.id) return;
    renamed.value = "";
    const title = ref.current?.value.trim();
    if (keep && title && title !== head.title) void amend(head.id, { title });
  };
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
  };
  return html`<input ref=${ref} aria-label=${t("title")} maxlength="200" defaultValue=${head.title} value=${head.title} onKeyDown=${press} onBlur=${() => end(true)} />`;
}

/** @param {Head} head */
async function takeAway(head) {
  const runs = [...answers.value.values()].map(({ value }) => value.message).filter((message) => message.conversation === head.id);
  await Promise.all(runs.map(({ id }) => stop(id)));
  const removed = await remove(head.id);
  toComposer();
  notify(t("deleted", { title: head.title || t("untitled") }), removed && (() => void add(removed)));
}
