/** The conversations, as this tab shows them. What changes here is kept, and told to the other tabs. */

import { computed, signal } from "../vendor/preact.js";
import { usual } from "./settings.js";
import { openStore } from "./store.js";
import { listen, tell } from "./tabs.js";
import { blank, head, path, tip, titleOf, under } from "./tree.js";

/** @import { Conversation, Head, Message, Settings } from "./types.js" */
/** @import { Store } from "./store.js" */

/** All conversations, by last use. */
export const heads = signal(/** @type {Head[]} */ ([]));
/** Where a search has found something: their ids; null where nothing is searched. */
export const matches = signal(/** @type {Set<string> | null} */ (null));
/** The one that is open. It is in the list from its first message on. */
export const current = signal(blank({ settings: usual.value }));
/** Its messages on the way to the leaf. */
export const shown = computed(() => path(current.value));
/** Why what is said is not kept. */
export const trouble = signal(/** @type {"memory" | "full" | "failed" | null} */ (null));

/** @type {Promise<Store>} */
let opening;
/** The store, when it is open. */
export const store = () => (opening ??= openStore());

/** Read what there is, and open what the address names. */
export async function start() {
  const kept = await store();
  if (!kept.lasting) trouble.value = "memory";
  heads.value = sorted(await kept.heads());
  listen((told) => {
    if (told.kind === "changed") {
      if (!kept.lasting) void kept.write(told.head, told.messages, told.removed);
      take(told.head, told.messages, told.removed);
    }
    if (told.kind === "gone") forget(told.id);
  });
  const follow = () => {
    const id = location.hash.slice(1);
    if (id !== current.value.id) void (id ? open(id) : begin());
  };
  addEventListener("hashchange", follow);
  if (location.hash.length > 1) await open(location.hash.slice(1));
}

/** @param {string} id */
export async function open(id) {
  const found = await (await store()).read(id);
  if (!found) return begin();
  current.value = found;
  if (location.hash.slice(1) !== id) history.pushState(null, "", `#${id}`);
}

/**
 * A new conversation, of the same model and the usual settings unless others are given.
 * @param {Partial<Conversation>} [given]
 */
export function begin(given = {}) {
  current.value = blank({ model: current.value.model, settings: usual.value, ...given });
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
}

/**
 * Change the open conversation itself: its title, model, settings or leaf.
 * @param {Partial<Head>} patch
 */
export function change(patch) {
  return amend(current.value.id, patch);
}

/** @param {Settings} settings */
export function setSettings(settings) {
  return change({ settings });
}

/**
 * Change a conversation itself.
 * @param {string} id
 * @param {Partial<Head>} patch
 */
export async function amend(id, patch) {
  if (current.value.id === id) current.value = { ...current.value, ...patch };
  const known = heads.value.find((each) => each.id === id);
  if (!known) return; // nothing was said yet
  list({ ...known, ...patch });
  await keep(async (kept) => {
    const changed = await kept.patch(id, patch);
    if (changed) tell({ kind: "changed", head: changed, messages: [], removed: [] });
  });
}

/**
 * Add messages to the open conversation, the last of which is shown.
 * @param {Message[]} messages
 */
export async function say(...messages) {
  const { value } = current;
  const title = value.title || titleOf(messages[0]?.content ?? "");
  const leaf = messages[messages.length - 1]?.id ?? value.leaf;
  const told = head({ ...value, title, leaf, updated: Date.now() });
  take(told, messages, []);
  if (location.hash.slice(1) !== value.id) history.replaceState(null, "", `#${value.id}`);
  await keep((kept) => kept.write(told, messages));
  tell({ kind: "changed", head: told, messages, removed: [] });
}

/**
 * A message of any conversation has changed.
 * @param {Message} message
 */
export async function put(message) {
  if (current.value.id === message.conversation) insert([message], []);
  await keep((kept) => kept.write(null, [message]));
  const known = heads.value.find(({ id }) => id === message.conversation);
  if (known) tell({ kind: "changed", head: known, messages: [message], removed: [] });
}

/**
 * Show the newest of what follows a message.
 * @param {string} id
 */
export function show(id) {
  return change({ leaf: tip(current.value, id) });
}

/**
 * Take a message and all that follows it out of the open conversation. Its end is then the branch beside it, or before.
 * Returns what it was, for whoever wants it back: see `add`.
 * @param {Message} message
 */
export async function drop(message) {
  const { value } = current;
  const removed = under(value, message.id);
  const messages = Object.fromEntries(Object.entries(value.messages).filter(([id]) => !removed.includes(id)));
  const told = head({ ...value, leaf: tip({ messages }, message.parent), updated: Date.now() });
  take(told, [], removed);
  await keep((kept) => kept.write(told, [], removed));
  tell({ kind: "changed", head: told, messages: [], removed });
  return value;
}

/**
 * Remove a conversation. Returns it, for whoever wants it back: see `add`.
 * @param {string} id
 */
export async function remove(id) {
  const kept = await store();
  const found = await kept.read(id);
  forget(id);
  await keep(() => kept.remove(id));
  tell({ kind: "gone", id });
  return found;
}

/**
 * Add whole conversations, such as imported ones.
 * @param {Conversation[]} conversations
 */
export async function add(...conversations) {
  const ids = new Set(conversations.map(({ id }) => id));
  heads.value = sorted([...conversations.map(head), ...heads.value.filter(({ id }) => !ids.has(id))]); // once, for there may be thousands
  for (const conversation of conversations) {
    const told = head(conversation);
    const messages = Object.values(conversation.messages);
    update(told, messages, []);
    await keep((kept) => kept.write(told, messages));
    tell({ kind: "changed", head: told, messages, removed: [] });
  }
}

/**
 * Every conversation with its messages, the last used first, one at a time: all of them need not fit into memory.
 * @returns {AsyncGenerator<Conversation>}
 */
export async function* every() {
  const kept = await store();
  for (const { id } of heads.value) {
    const found = await kept.read(id);
    if (found) yield found;
  }
}

/** @param {(kept: Store) => Promise<void>} write */
async function keep(write) {
  try {
    await write(await store());
  } catch (error) {
    trouble.value = error instanceof DOMException && error.name === "QuotaExceededError" ? "full" : "failed";
  }
}

/** @param {Head} changed @param {Message[]} messages @param {string[]} removed */
function take(changed, messages, removed) {
  list(changed);
  update(changed, messages, removed);
}

/** @param {Head} changed @param {Message[]} messages @param {string[]} removed */
function update(changed, messages, removed) {
  if (current.value.id !== changed.id) return;
  current.value = { ...current.value, ...changed };
  insert(messages, removed);
}

/** @param {Message[]} changed @param {string[]} removed */
function insert(changed, removed) {
  if (!changed.length && !removed.length) return;
  const messages = { ...current.value.messages };
  for (const message of changed) messages[message.id] = message;
  for (const id of removed) delete messages[id];
  current.value = { ...current.value, messages };
}

/** @param {Head} changed */
function list(changed) {
  heads.value = sorted([changed, ...heads.value.filter(({ id }) => id !== changed.id)]);
}

/** @param {string} id */
function forget(id) {
  heads.value = heads.value.filter((each) => each.id !== id);
  if (current.value.id === id) begin();
}

/** @param {Head[]} found */
function sorted(found) {
  return found.sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
}
