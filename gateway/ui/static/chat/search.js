/** The search in all conversations: it sets `matches`. */

import { html, signal, useEffect } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { current, heads, matches, store } from "./state.js";

/** @import { Conversation } from "./types.js" */

/** Milliseconds after the last key, before it looks. */
const PAUSE = 150;
/** Characters that are remembered of one conversation, and of all: what is beyond is found by its title alone. */
const MOST_OF_ONE = 1_000_000;
const MOST_OF_ALL = 64_000_000;
/** Conversations that are read before what is found so far is shown. */
const AT_ONCE = 50;

export const wanted = signal("");

/** The texts of conversations by their ids, as they were at `updated`. */
const texts = /** @type {Map<string, {updated: number, text: string, last: boolean}>} */ (new Map());
let remembered = 0;

/** Letters as they are compared: small, and without their marks. @param {string} text */
export function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** @param {Conversation} conversation */
function textOf({ messages }) {
  const all = Object.values(messages).map(({ content }) => content);
  return plain(all.join("\n").slice(0, MOST_OF_ONE));
}

/** @param {Conversation} conversation */
function remember(conversation) {
  remembered -= texts.get(conversation.id)?.text.length ?? 0;
  texts.delete(conversation.id);
  const text = textOf(conversation);
  const last = Object.values(conversation.messages).every(({ state }) => state !== "running");
  const kept = remembered + text.length > MOST_OF_ALL ? "" : text;
  remembered += kept.length;
  texts.set(conversation.id, { updated: conversation.updated, text: kept, last });
}

/**
 * Which conversations have all of the words, in titles and texts. Tells what it has found so far, and ends when it is told to.
 * @param {string} query
 * @param {AbortSignal} until
 * @param {(found: Set<string>) => void} tell
 */
export async function find(query, until, tell) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  const kept = await store();
  const found = /** @type {Set<string>} */ (new Set());
  remember(current.value);
  let read = 0;
  for (const { id, title, updated } of heads.value) {
    const known = texts.get(id);
    if (!known || (id !== current.value.id && (known.updated !== updated || !known.last))) {
      const conversation = await kept.read(id);
      if (until.aborted) return;
      if (conversation) remember(conversation);
      if (++read % AT_ONCE === 0) tell(new Set(found));
    }
    const text = `${plain(title)}\n${texts.get(id)?.text ?? ""}`;
    if (words.every((word) => text.includes(word))) found.add(id);
  }
  tell(found);
}

export function Search() {
  const query = wanted.value;
  useEffect(() => {
    if (!query.trim()) {
      matches.value = null;
      return undefined;
    }
    const until = new AbortController();
    const timer = setTimeout(() => void find(query, until.signal, (found) => (matches.value = found)), PAUSE);
    return () => {
      clearTimeout(timer);
      until.abort();
    };
  }, [query]);
  const count = matches.value?.size;
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key !== "Escape" || !query) return;
    event.stopPropagation();
    wanted.value = "";
  };
  return html`<search class="search">
    <input id="search" type="search" value=${query} placeholder=${t("search")} aria-label=${t("search")} autocomplete="off"
      onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => (wanted.value = currentTarget.value)} onKeyDown=${press} />
    <p class="unseen" role="status">${count === undefined ? "" : count ? t("search.found", { count }) : t("search.none")}</p>
  </search>`;
}
