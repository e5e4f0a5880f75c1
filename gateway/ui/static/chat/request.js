/** What is asked of the API for a conversation. Pure. */

import { PARAMETERS } from "./parameters.js";

/** @import { Conversation, Message, Settings, Tool } from "./types.js" */

/**
 * The body of `POST /v1/chat/completions` that has a path of a conversation answered; where it ends with an answer, that is gone on with.
 * @param {Pick<Conversation, "settings"> & {model: string}} conversation
 * @param {Message[]} path
 */
export function body({ settings, model }, path) {
  const answered = new Set(path.map(({ toolCallId }) => toolCallId));
  const said = path.flatMap((message, index) => asked(message, answered, index === path.length - 1));
  const system = settings.system?.trim() ? [{ role: "system", content: settings.system }] : [];
  const last = path[path.length - 1]?.role;
  return {
    model,
    messages: [...system, ...said],
    ...sampling(settings),
    ...(settings.responseFormat ? { response_format: settings.responseFormat } : {}),
    ...(last === "assistant" ? { continue_final_message: true, add_generation_prompt: false } : offer(settings, last === "tool")),
    stream: true,
  };
}

/**
 * A message as the API has it. Calls that nobody has answered are left out, and so is an answer of which nothing is left.
 * @param {Message} message
 * @param {Set<string | undefined>} answered  ids of calls
 * @param {boolean} last  an answer that is last is gone on with
 * @returns {object[]}
 */
function asked({ role, content, reasoning, toolCalls = [], toolCallId }, answered, last) {
  if (role === "user") return [{ role, content }];
  if (role === "tool") return [{ role, tool_call_id: toolCallId ?? "", content }];
  const calls = toolCalls.filter(({ id }) => answered.has(id));
  const thoughts = reasoning && (last || calls.length) ? { reasoning_content: reasoning } : {}; // templates leave out older ones
  if (!calls.length) return content ? [{ role, content, ...thoughts }] : [];
  const tool_calls = calls.map((call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } }));
  return [{ role, content, ...thoughts, tool_calls }];
}

/** @param {Settings} settings */
function sampling(settings) {
  const given = /** @type {Record<string, unknown>} */ (settings);
  const names = [...PARAMETERS.map(({ name }) => name), "reasoning_effort"];
  return Object.fromEntries(names.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])));
}

/** @param {Settings} settings @param {boolean} called  whether there are results to answer: who had to call has done so */
function offer({ tools = [], toolChoice, parallelToolCalls }, called) {
  if (!tools.length) return {};
  const choice = called && toolChoice !== "none" ? undefined : toolChoice;
  return {
    tools: tools.map((tool) => ({ type: "function", function: described(tool) })),
    ...(choice === undefined ? {} : { tool_choice: chosen(choice, tools) }),
    ...(parallelToolCalls === false ? { parallel_tool_calls: false } : {}),
  };
}

/** @param {Tool} tool */
function described({ name, description, parameters }) {
  return { name, ...(description ? { description } : {}), ...(parameters ? { parameters } : {}) };
}

/** @param {NonNullable<Settings["toolChoice"]>} choice @param {Tool[]} tools */
function chosen(choice, tools) {
  if (!choice.startsWith("function:")) return choice;
  const name = choice.slice("function:".length);
  return tools.some((tool) => tool.name === name) ? { type: "function", function: { name } } : "auto";
}
