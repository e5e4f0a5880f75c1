/**
 * What a conversation is, in memory, in the store and between tabs.
 *
 * @typedef {object} Settings  what is asked of the model beside the messages; what is undefined, the model decides
 * @property {string} [system]
 * @property {number} [temperature]
 * @property {number} [top_p]
 * @property {number} [top_k]
 * @property {number} [min_p]
 * @property {number} [repeat_penalty]
 * @property {number} [presence_penalty]
 * @property {number} [frequency_penalty]
 * @property {number} [max_tokens]
 * @property {number} [seed]
 * @property {string[]} [stop]
 * @property {string} [reasoning_effort]
 * @property {object} [responseFormat]  as the API has it
 * @property {Tool[]} [tools]
 * @property {string} [toolChoice]  `auto`, `none`, `required`, or `function:` and the name of the one that has to be called
 * @property {boolean} [parallelToolCalls]  false: one call at most
 *
 * @typedef {object} Tool  a function that the model may call; `answer` is what the stub gives back, by itself where it is `automatic`
 * @property {string} name
 * @property {string} [description]
 * @property {object} [parameters]
 * @property {string} [answer]
 * @property {boolean} [automatic]
 *
 * @typedef {{id: string, name: string, arguments: string}} ToolCall
 *
 * @typedef {object} Usage  as the API has it
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 * @property {{cached_tokens?: number}} [prompt_tokens_details]
 * @property {{reasoning_tokens?: number}} [completion_tokens_details]
 *
 * @typedef {object} Timings  Unix times in milliseconds, by this browser's clock
 * @property {number} sent
 * @property {number} [first]  when the first of the answer came
 * @property {number} [last]  when its end came; absent where it was not seen as it came
 *
 * @typedef {object} Failure
 * @property {number} status  of HTTP; 0: the gateway could not be reached
 * @property {string | null} code
 * @property {string} message
 *
 * @typedef {object} JobPlace  where an answer is made, and how far it has been read
 * @property {string} location  such as `/v1/jobs/chatcmpl-…`
 * @property {string} after  the id of the last event that is in the message; empty before the first
 * @property {number} from  how many characters of the content were there before it, which it goes on with
 *
 * @typedef {"running" | "done" | "stopped" | "failed"} MessageState
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string} conversation
 * @property {string | null} parent  what it follows; those of one parent are branches
 * @property {"user" | "assistant" | "tool"} role
 * @property {string} content
 * @property {string} [reasoning]  the thoughts before it
 * @property {ToolCall[]} [toolCalls]
 * @property {string} [toolCallId]  of a tool's result: which call it answers
 * @property {{key: string, body: object}} [request]  of an answer, until it is accepted: it can be sent again as it was, and joins
 * @property {JobPlace} [job]  of an answer, from then on until it has ended
 * @property {MessageState} state
 * @property {boolean} [stopping]  whoever reads the answer is to stop it
 * @property {string} [finish]  why the model ended: `stop`, `length`, `tool_calls`
 * @property {Failure} [error]
 * @property {Usage} [usage]
 * @property {Timings} [timings]
 * @property {string} [model]
 * @property {Settings} [settings]  of an answer: what was asked of the model
 * @property {number} created  Unix time in milliseconds
 *
 * @typedef {object} Head  a conversation without its messages
 * @property {string} id
 * @property {string} title
 * @property {number} created  Unix time in milliseconds
 * @property {number} updated
 * @property {string} model  empty: the first there is
 * @property {Settings} settings
 * @property {string | null} leaf  the last message of the path that is shown
 *
 * @typedef {Head & {messages: Record<string, Message>}} Conversation
 *
 * What an answer is waiting for; `until` is a Unix time in milliseconds.
 * @typedef {{kind: "sending"} | {kind: "queued", position: number, wait: number | null} | {kind: "waiting"}
 *   | {kind: "prompt", done: number, total: number} | {kind: "writing", speed: number | null} | {kind: "stopping"}
 *   | {kind: "reconnecting", until: number} | {kind: "full", until: number, message: string} | {kind: "key"}} Phase
 *
 * @typedef {{message: Message, phase: Phase}} Running  an answer as it comes; the speed in tokens a second
 *
 * What one tab tells the others.
 * @typedef {{kind: "changed", head: Head, messages: Message[], removed: string[]} | {kind: "gone", id: string}
 *   | {kind: "running", running: Running} | {kind: "stop", id: string}} Told
 */

export {};
