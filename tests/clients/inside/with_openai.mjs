// The `openai` package for JavaScript.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { QUESTION, SEPARATORS, URL, WORDS, atLeast, check, run } from "./checks.mjs";

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

check("a real model", async () => {
  const answer = await chats.create(asked(QUESTION, { model: "smollm2", temperature: 0 }));
  assert.match(answer.choices[0].message.content, /Paris/);
});

await run();
