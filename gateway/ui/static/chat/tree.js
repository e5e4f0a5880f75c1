/** A conversation's messages are a tree: what was edited or answered again stands beside what was there. Pure. */

/** @import { Conversation, Head, Message } from "./types.js" */

/** Letters of a title, and of a text those in which it is looked for. */
const TITLE = 60;
const LOOKED_AT = 600;

const FENCE = /^\s*(?:`{3,}|~{3,})/;
/** What stands before a line and around words, and what is left of it. */
const SIGNS = /** @type {[RegExp, string][]} */ ([
  [/^(?:\s*(?:#{1,6}|>|[-*+]|\d{1,9}[.)])(?=\s))+/, ""],
  [/!?\[([^[\]]*)\]\([^()]*\)/g, "$1"],
  [/(?<![\w*])(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w*])/g, "$2"],
  [/(?<![\w_])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w_])/g, "$2"],
  [/(~~|`+)(?=\S)(.+?)(?<=\S)\1/g, "$2"],
]);

/** A name that nobody else has. Not `randomUUID`, which pages without TLS lack. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A conversation in which nothing was said.
 * @param {Partial<Conversation>} [given]
 * @returns {Conversation}
 */
export function blank(given = {}) {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, model: "", settings: {}, leaf: null, messages: {}, ...given };
}

/**
 * A conversation without its messages.
 * @param {Conversation} conversation
 * @returns {Head}
 */
export function head({ id, title, created, updated, model, settings, leaf }) {
  return { id, title, created, updated, model, settings, leaf };
}

/**
 * What is shown: from the first message to the leaf.
 * @param {Pick<Conversation, "messages">} conversation
 * @param {string | null} leaf
 */
export function pathTo({ messages }, leaf) {
  const found = [];
  for (let at = leaf === null ? undefined : messages[leaf]; at; at = at.parent === null ? undefined : messages[at.parent]) {
    found.push(at);
  }
  return found.reverse();
}

/** @param {Conversation} conversation */
export function path(conversation) {
  return pathTo(conversation, conversation.leaf);
}

/**
 * What follows a message, the oldest first.
 * @param {Pick<Conversation, "messages">} conversation
 * @param {string | null} parent
 */
export function children({ messages }, parent) {
  return Object.values(messages)
    .filter((message) => message.parent === parent)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/**
 * For each message of a path its branches, itself among them: one look at all messages for the whole path.
 * @param {Pick<Conversation, "messages">} conversation
 * @returns {Map<string | null, Message[]>}  by parent
 */
export function families({ messages }) {
  const found = /** @type {Map<string | null, Message[]>} */ (new Map());
  for (const message of Object.values(messages)) {
    const family = found.get(message.parent);
    if (family) family.push(message);
    else found.set(message.parent, [message]);
  }
  for (const family of found.values()) family.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
  return found;
}

/**
 * The last message of the newest branch under a message.
 * @param {Pick<Conversation, "messages">} conversation
 * @param {string | null} id
 */
export function tip(conversation, id) {
  const found = families(conversation);
  let at = id;
  for (let next = found.get(at); next; next = found.get(at)) at = next[next.length - 1]?.id ?? null;
  return at;
}

/**
 * A message and all that follows it.
 * @param {Pick<Conversation, "messages">} conversation
 * @param {string} id
 */
export function under(conversation, id) {
  const known = families(conversation);
  const found = [id];
  for (const at of found) found.push(...(known.get(at) ?? []).map((message) => message.id));
  return found;
}

/**
 * What a conversation is called that begins with a text: its first words, without the signs of Markdown.
 * @param {string} text
 */
export function titleOf(text) {
  const begun = text.slice(0, LOOKED_AT).split("\n").filter((line) => !FENCE.test(line)).map(plain);
  const line = begun.find((each) => /[\p{L}\p{N}]/u.test(each)) ?? begun.find(Boolean) ?? "";
  return line.length > TITLE ? `${line.slice(0, TITLE).replace(/\s+\S*$/, "")}…` : line;
}

/** @param {string} line */
function plain(line) {
  return SIGNS.reduce((rest, [sign, inner]) => rest.replace(sign, inner), line).trim();
}
