/** The answers that are being made: begun, stopped, gone on with. Each is read by one tab, and shown by all. */

import { signal } from "../vendor/preact.js";
import { Answer } from "./answer.js";
import { chosen } from "./models.js";
import { body } from "./request.js";
import { current, put, say, shown, store } from "./state.js";
import { alone, listen, tell } from "./tabs.js";
import { newId, pathTo } from "./tree.js";

/** @import { Signal } from "../vendor/preact.js" */
/** @import { Message, Running } from "./types.js" */

/** What runs, by the message's id. */
export const answers = signal(/** @type {Map<string, Signal<Running>>} */ (new Map()));
/** Those that this tab reads. */
const own = /** @type {Map<string, Answer>} */ (new Map());
/** Those that it has read to their end. */
export const readHere = /** @type {Set<string>} */ (new Set());
/** Those that it would read if nobody else did. */
const awaited = /** @type {Set<string>} */ (new Set());

/** Go on with what was being answered when the browser was last here, and with what other tabs leave. */
export async function start() {
  listen((told) => {
    if (told.kind === "running" && !own.has(told.running.message.id)) display(told.running);
    if (told.kind === "stop") own.get(told.id)?.stop();
    if (told.kind === "changed") told.messages.forEach((message) => (message.state === "running" ? run(message) : hide(message.id)));
  });
  for (const message of await (await store()).running()) run(message);
}

/**
 * Say something, and have it answered.
 * @param {string} content
 * @param {string | null} [parent]  what it follows, where that is not the last message
 */
export async function send(content, parent = current.value.leaf) {
  const said = made({ role: "user", content, parent });
  await answer([...pathTo(current.value, parent), said], [said]);
}

/**
 * Have a message answered once more, beside what was answered.
 * @param {Message} message  an answer
 */
export async function regenerate(message) {
  await answer(pathTo(current.value, message.parent), []);
}

/**
 * Give back what an answer's calls have brought, and have that answered.
 * @param {Message} message  an answer with calls
 * @param {{toolCallId: string, content: string}[]} results
 */
export async function reply(message, results) {
  const told = /** @type {Message[]} */ ([]);
  for (const result of results) {
    told.push(made({ ...result, role: "tool", parent: told[told.length - 1]?.id ?? message.id }));
  }
  await answer([...pathTo(current.value, message.id), ...told], told);
}

/**
 * Go on with an answer that was stopped or cut.
 * @param {Message} message
 */
export async function goOn(message) {
  const { error, finish, usage, ...rest } = message;
  const model = message.model ?? chosen.value?.id ?? "";
  const request = { key: newId(), body: body({ ...current.value, model }, pathTo(current.value, message.id)) };
  const running = /** @type {Message} */ ({ ...rest, state: "running", request, timings: { sent: Date.now() } });
  display({ message: running, phase: { kind: "sending" } });
  await put(running);
  run(running, true);
}

/**
 * Stop an answer, whichever tab reads it. Resolves when it has ended.
 * @param {string} id
 */
export async function stop(id) {
  const reading = own.get(id);
  if (reading) reading.stop();
  else tell({ kind: "stop", id });
  if (!answers.value.has(id)) return;
  await new Promise((resolve) => {
    const done = answers.subscribe((those) => those.has(id) || queueMicrotask(() => (done(), resolve(undefined))));
  });
}

/**
 * @param {Message[]} path  what is answered
 * @param {Message[]} said  what of it is new
 */
async function answer(path, said) {
  const { settings } = current.value;
  const model = chosen.value?.id ?? current.value.model;
  const message = made({ role: "assistant", content: "", parent: path[path.length - 1]?.id ?? null });
  const request = { key: message.id, body: body({ settings, model }, path) };
  const running = /** @type {Message} */ ({ ...message, state: "running", model, settings, request, timings: { sent: Date.now() } });
  display({ message: running, phase: { kind: "sending" } });
  await say(...said, running);
  run(running, true);
}

/**
 * @param {Pick<Message, "role" | "content" | "parent"> & Partial<Message>} given
 * @returns {Message}
 */
function made(given) {
  return { id: newId(), conversation: current.value.id, state: "done", created: Date.now(), ...given };
}

/**
 * @param {Message} begun
 * @param {boolean} [here]  in this tab, a moment ago: it is answered even where nothing can be kept
 */
function run(begun, here = false) {
  const { id } = begun;
  if (awaited.has(id)) return;
  awaited.add(id);
  if (!answers.value.has(id)) display({ message: begun, phase: { kind: "waiting" } });
  void alone(`answer.${id}`, async () => {
    const kept = (await (await store()).message(id)) ?? (here ? begun : undefined);
    if (kept) await put(kept.state === "running" ? await read(kept) : kept);
    hide(id);
    awaited.delete(id);
  });
}

/** @param {Message} message */
async function read(message) {
  const answering = new Answer(message, display, async (changed) => {
    await (await store()).write(null, [changed]).catch(() => {}); // what is not kept is read again; `put` tells of it
    const running = answers.value.get(message.id)?.value;
    if (running) tell({ kind: "running", running });
  });
  own.set(message.id, answering);
  try {
    const ended = await answering.run();
    readHere.add(message.id);
    return ended;
  } finally {
    own.delete(message.id);
  }
}

/** @param {Running} running */
function display(running) {
  const { id } = running.message;
  const known = answers.value.get(id);
  if (known) known.value = running;
  else answers.value = new Map(answers.value).set(id, signal(running));
}

/** @param {string} id */
function hide(id) {
  if (!answers.value.has(id)) return;
  const rest = new Map(answers.value);
  rest.delete(id);
  answers.value = rest;
}

/** Whether the last message that is shown is being made. */
export function isAnswering() {
  const last = shown.value[shown.value.length - 1];
  return last !== undefined && answers.value.has(last.id);
}
