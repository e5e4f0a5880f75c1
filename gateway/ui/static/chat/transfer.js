/** Conversations as files: JSON that can be read again, and Markdown for people. Pure. */

import { readSettings } from "./settings.js";
import { Wrong, list, number, object, oneOf, orNull, text } from "./shape.js";
import { families, newId, path } from "./tree.js";

/** @import { Conversation, Message } from "./types.js" */

export const FORMAT = "inferq.conversations";
const VERSION = 1;
/** Bytes of a file that is read, and what it may have. */
export const LARGEST_FILE = 64 * 1024 * 1024;
const MOST_CONVERSATIONS = 10_000;
const MOST_MESSAGES = 20_000;
const MOST_CALLS = 128;

const call = object({ id: text, name: text, arguments: text }, {});
const usage = object(
  { prompt_tokens: number, completion_tokens: number },
  {
    prompt_tokens_details: object({}, { cached_tokens: number }),
    completion_tokens_details: object({}, { reasoning_tokens: number }),
  },
);
const message = object(
  { id: text, parent: orNull(text), role: oneOf("user", "assistant", "tool"), content: text },
  {
    reasoning: text,
    toolCalls: list(call, MOST_CALLS),
    toolCallId: text,
    state: oneOf("running", "done", "stopped", "failed"),
    finish: text,
    error: object({ status: number, code: orNull(text), message: text }, {}),
    usage,
    timings: object({ sent: number }, { first: number, last: number }),
    model: text,
    settings: readSettings,
    created: number,
  },
);
const conversation = object(
  { messages: list(message, MOST_MESSAGES) },
  { id: text, title: text, created: number, updated: number, model: text, settings: readSettings, leaf: orNull(text) },
);
const whole = object({ conversations: list((value, place) => grown(conversation(value, place), place), MOST_CONVERSATIONS) }, {});

/**
 * The conversations of a file's text, under ids that are free. Throws Wrong, or SyntaxError where it is no JSON.
 * @param {string} json
 * @param {(id: string) => boolean} taken  whether there is a conversation of that id
 * @returns {Conversation[]}
 */
export function imported(json, taken) {
  const given = JSON.parse(json);
  const { version } = object({ format: oneOf(FORMAT), version: number }, {})(given, "");
  if (version !== VERSION) throw new Wrong("version", `${VERSION}`);
  const found = whole(given, "").conversations;
  const seen = new Set();
  return found.map((each) => {
    const free = /^[\w-]{1,64}$/.test(each.id) && !taken(each.id) && !seen.has(each.id);
    seen.add(each.id);
    return free ? each : owned({ ...each, id: newId() });
  });
}

/** @param {Conversation} each @returns {Conversation} */
function owned(each) {
  const messages = Object.fromEntries(Object.entries(each.messages).map(([id, told]) => [id, { ...told, conversation: each.id }]));
  return { ...each, messages };
}

/**
 * The tree of what was read. All of its messages get new ids, for those are the store's over all conversations.
 * @param {ReturnType<typeof conversation>} given
 * @param {string} place
 * @returns {Conversation}
 */
function grown(given, place) {
  const now = Date.now();
  const id = given.id ?? newId();
  const renamed = /** @type {Map<string, string>} */ (new Map());
  for (const [index, each] of given.messages.entries()) {
    if (renamed.has(each.id)) throw new Wrong(`${place}.messages[${index}].id`, "uniqueItems");
    if (each.parent !== null && !renamed.has(each.parent)) throw new Wrong(`${place}.messages[${index}].parent`, "id of a message before it");
    renamed.set(each.id, newId());
  }
  const leaf = given.leaf ?? given.messages[given.messages.length - 1]?.id ?? null;
  if (leaf !== null && !renamed.has(leaf)) throw new Wrong(`${place}.leaf`, "id of a message");
  const messages = given.messages.map((each, index) => {
    const { state = "done", created = now + index } = each;
    const known = { ...each, id: renamed.get(each.id) ?? "", parent: each.parent === null ? null : (renamed.get(each.parent) ?? null) };
    return /** @type {Message} */ ({ ...known, conversation: id, created, state: state === "running" ? "stopped" : state });
  });
  return {
    id,
    title: given.title ?? "",
    created: given.created ?? now,
    updated: given.updated ?? now,
    model: given.model ?? "",
    settings: given.settings ?? {},
    leaf: leaf === null ? null : (renamed.get(leaf) ?? null),
    messages: Object.fromEntries(messages.map((each) => [each.id, each])),
  };
}

/**
 * A file in pieces, one conversation each.
 * @param {AsyncIterable<Conversation> | Iterable<Conversation>} conversations
 */
export async function* exported(conversations) {
  yield `{"format": "${FORMAT}", "version": ${VERSION}, "exported": ${JSON.stringify(new Date().toISOString())}, "conversations": [`;
  let comma = "\n";
  for await (const each of conversations) {
    yield comma + JSON.stringify(plain(each));
    comma = ",\n";
  }
  yield "\n]}\n";
}

/** What is told of a conversation: not how an answer is made that has not ended, which is this browser's affair. @param {Conversation} given */
function plain({ messages, ...head }) {
  const order = /** @type {Message[]} */ ([]);
  const waiting = families({ messages });
  const next = [...(waiting.get(null) ?? [])].reverse();
  for (let at = next.pop(); at; at = next.pop()) {
    order.push(at);
    next.push(...[...(waiting.get(at.id) ?? [])].reverse());
  }
  return { ...head, messages: order.map(({ conversation: _, request: __, job: ___, stopping: ____, ...told }) => told) };
}

/**
 * The path that is shown, for people. Texts stand as they are; what is JSON, in fences longer than any in it.
 * @param {Conversation} given
 * @param {{you: string, thoughts: string, result: string}} words
 */
export function markdown(given, { you, thoughts, result }) {
  const parts = path(given).map(({ role, content, reasoning, toolCalls = [], model }) => {
    if (role === "tool") return `**${result}**\n\n${fenced(content, "")}`;
    const thought = reasoning ? `> **${thoughts}**\n>\n${reasoning.trim().replace(/^/gm, "> ")}` : "";
    const calls = toolCalls.map((each) => `**${each.name}**\n\n${fenced(each.arguments, "json")}`);
    return [`## ${role === "user" ? you : model || given.model}`, thought, content.trim(), ...calls].filter(Boolean).join("\n\n");
  });
  const system = given.settings.system?.trim().replace(/^/gm, "> ") ?? "";
  return `${[`# ${given.title.replace(/\s+/g, " ")}`, new Date(given.created).toISOString().slice(0, 10), system, ...parts].filter(Boolean).join("\n\n")}\n`;
}

/** A block of code of any text. @param {string} content @param {string} language */
export function fenced(content, language) {
  const longest = (content.match(/`+/g) ?? []).reduce((most, run) => Math.max(most, run.length), 2);
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${content}\n${fence}`;
}

/** A name for a file: the words of the title. @param {string} title @param {string} ending */
export function fileName(title, ending) {
  const words = title.normalize("NFC").match(/[\p{L}\p{N}]+/gu) ?? ["chat"];
  return `${words.join("-").slice(0, 60)}.${ending}`;
}
