// The `openai` package for JavaScript.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const chats = client.chat.completions;
const asked = (content, more = {}) => ({ model: "echo", messages: [{ role: "user", content }], ...more });

check("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.deepEqual(listed.sort(), ["echo", "smollm2"]);
});

check("create", async () => {
  const answer = await chats.create(asked(WORDS));
  assert.equal(answer.choices[0].message.content, WORDS);
  assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [20, 20]);
});

check("stream", async () => {
  const chunks = [];
  for await (const chunk of await chats.create(asked(WORDS, { stream: true, stream_options: { include_usage: true } })))
    chunks.push(chunk);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), WORDS);
  assert.equal(chunks.at(-1).usage.completion_tokens, 20);
  atLeast(chunks.length, 5);
});

check("stream helper", async () => {
  const stream = chats.stream(asked(WORDS));
  let pieces = 0;
  stream.on("content", () => (pieces += 1));
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, WORDS);
  atLeast(pieces, 3);
});

check("message sent back", async () => {
  const { message } = (await chats.create(asked("first"))).choices[0];
  const messages = [{ role: "user", content: "first" }, message, { role: "user", content: "second" }];
  const answer = await chats.create({ model: "echo", messages });
  assert.deepEqual([answer.choices[0].message.content, answer.usage.prompt_tokens], ["second", 3]);
});

check("completions", async () => {
  const answer = await client.completions.create({ model: "echo", prompt: WORDS, max_tokens: 3 });
  assert.deepEqual([answer.choices[0].text, answer.choices[0].finish_reason], ["word0 word1 word2", "length"]);
});

check("raw headers", async () => {
  const { data, response } = await chats.create(asked("hello")).withResponse();
  assert.equal(response.headers.get("location"), `/v1/jobs/${data.id}`);
  assert.match(response.headers.get("x-request-id"), /^req_/);
});

check("parameters of other servers", async () => {
  const { data, response } = await chats.create(asked(WORDS, { top_k: -1, num_ctx: 4096 })).withResponse();
  assert.equal(data.choices[0].message.content, WORDS);
  assert.equal(response.headers.get("x-inferq-ignored"), "num_ctx");
});

check("line separators", async () => {
  let text = "";
  for await (const chunk of await chats.create(asked(SEPARATORS, { stream: true })))
    text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, SEPARATORS);
});

check("errors", async () => {
  await assert.rejects(chats.create(asked("hello", { temperature: "hot" })), OpenAI.BadRequestError);
  await assert.rejects(chats.create({ ...asked("hello"), model: "nobody" }), OpenAI.NotFoundError);
});

const City = z.object({
  name: z.string().max(20),
  size: z.enum(["small", "big"]),
  rivers: z.array(z.object({ name: z.string().max(20), length: z.number().int() })).max(2),
});
const form = zodResponseFormat(City, "city");
const city = zodFunction({ name: "city", parameters: City });

check("parse", async () => {
  const answer = await chats.parse(asked(told(OSLO), { response_format: form }));
  assert.deepEqual(answer.choices[0].message.parsed, OSLO);
  const streamed = await chats.stream(asked(told(OSLO), { response_format: form })).finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, OSLO);
});

check("parse tools", async () => {
  const more = { tools: [city], parallel_tool_calls: true };
  const text = calling(["city", OSLO], ["city", { ...OSLO, name: "Rome" }]);
  const parsed = [OSLO, { ...OSLO, name: "Rome" }];
  const streamed = chats.stream(asked(text, more));
  let pieces = 0;
  streamed.on("tool_calls.function.arguments.delta", () => (pieces += 1));
  for (const answer of [await chats.parse(asked(text, more)), await streamed.finalChatCompletion()]) {
    const [{ message, finish_reason }] = answer.choices;
    assert.equal(finish_reason, "tool_calls");
    assert.deepEqual(message.tool_calls.map((call) => call.function.parsed_arguments), parsed);
  }
  atLeast(pieces, 3);
});

check("runTools", async () => {
  for (const stream of [false, true]) {
    const called = [];
    const weather = ({ place, days }) => (called.push([place, days]), `cold in ${place}`);
    const properties = { place: { type: "string" }, days: { type: "integer" } };
    const parameters = { type: "object", properties, required: ["place", "days"] };
    const tool = { type: "function", function: { name: "weather", parameters, function: weather, parse: JSON.parse } };
    const text = calling(["weather", { place: "Oslo", days: 2 }], ["weather", { place: "Rome", days: 1 }]);
    const runner = chats.runTools(asked(text, { tools: [tool], stream }));
    assert.equal(await runner.finalContent(), "cold in Oslo\ncold in Rome");
    assert.deepEqual(called, [["Oslo", 2], ["Rome", 1]]);
    assert.deepEqual(runner.messages.map(({ role }) => role), ["user", "assistant", "tool", "tool", "assistant"]);
  }
});

check("a real model in a form", async () => {
  const more = { model: "smollm2", temperature: 0, max_tokens: 300 };
  const answer = await chats.parse(asked("Tell me of Oslo.", { ...more, response_format: form }));
  assert.deepEqual(City.parse(answer.choices[0].message.parsed), answer.choices[0].message.parsed);
  const tools = { tools: [city], tool_choice: "required", parallel_tool_calls: false };
  const called = await chats.parse(asked("Tell me of Oslo.", { ...more, ...tools }));
  const [call] = called.choices[0].message.tool_calls;
  assert.deepEqual(City.parse(call.function.parsed_arguments), JSON.parse(call.function.arguments));
});

check("a real model", async () => {
  const answer = await chats.create(asked(QUESTION, { model: "smollm2", temperature: 0 }));
  assert.match(answer.choices[0].message.content, /Paris/);
});

await run();
