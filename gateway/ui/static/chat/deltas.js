/** From what a stream says to the message that it makes. Pure. */

/** @import { Failure, Message, Phase } from "./types.js" */

/**
 * A message and a chunk more.
 * @param {Message} message
 * @param {any} chunk  as the API has it
 * @returns {Message}
 */
export function extended(message, chunk) {
  if (chunk.error) return { ...message, state: chunk.error.code === "cancelled" ? "stopped" : "failed", error: failure(chunk.error) };
  const changed = { ...message };
  if (chunk.model) changed.model = chunk.model;
  if (chunk.usage) changed.usage = chunk.usage;
  const [choice] = chunk.choices ?? [];
  if (!choice) return changed;
  const { content, reasoning_content: reasoning, tool_calls: calls = [] } = choice.delta ?? {};
  if (content) changed.content += content;
  if (reasoning) changed.reasoning = (changed.reasoning ?? "") + reasoning;
  for (const { index, id, function: called } of calls) {
    const known = [...(changed.toolCalls ?? [])];
    const before = known[index] ?? { id: "", name: "", arguments: "" };
    known[index] = {
      id: id ?? before.id,
      name: called?.name ?? before.name,
      arguments: before.arguments + (called?.arguments ?? ""),
    };
    changed.toolCalls = known;
  }
  if (choice.finish_reason) changed.finish = choice.finish_reason;
  return changed;
}

/**
 * Whether a chunk has a part of the answer in it.
 * @param {any} chunk
 */
export function says(chunk) {
  const delta = chunk.choices?.[0]?.delta;
  return Boolean(delta && (delta.content || delta.reasoning_content || delta.tool_calls?.length));
}

/**
 * A message as it was before its job began to answer.
 * @param {Message} message
 * @returns {Message}
 */
export function unread(message) {
  const { job, reasoning, toolCalls, finish, usage, ...rest } = message;
  if (!job) return message;
  const kept = job.from ? { reasoning } : {};
  return { ...rest, ...kept, content: rest.content.slice(0, job.from), job: { ...job, after: "" } };
}

/**
 * What a comment tells of how a job stands.
 * @param {string} comment
 * @returns {Phase | null}
 */
export function standing(comment) {
  const [, position, wait] = /^queued position=(\d+)(?: wait=(\d+)s)?/.exec(comment) ?? [];
  if (position) return { kind: "queued", position: Number(position), wait: wait === undefined ? null : Number(wait) };
  const [, done, total] = /^prompt (\d+)\/(\d+)/.exec(comment) ?? [];
  if (done && total) return { kind: "prompt", done: Number(done), total: Number(total) };
  return comment === "waiting" ? { kind: "waiting" } : null;
}

/**
 * @param {{message?: string, code?: string | null, status?: number}} error
 * @returns {Failure}
 */
export function failure({ message = "", code = null, status = 0 }) {
  return { message, code, status };
}
