/** What is asked of the API for a conversation. */

/** @import { Conversation, Message } from "./types.js" */

/**
 * The body of `POST /v1/chat/completions` that has a path of a conversation answered.
 * @param {Pick<Conversation, "settings"> & {model: string}} conversation
 * @param {Message[]} path
 */
export function body({ settings, model }, path) {
  const system = settings.system ? [{ role: "system", content: settings.system }] : [];
  return { model, messages: [...system, ...path.map(({ role, content }) => ({ role, content }))], stream: true };
}
