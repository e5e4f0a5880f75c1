// The `openai` package for JavaScript.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const chats = client.chat.completions;
const asked = (content, more = {}) => ({ model: "echo", messages: [{ role: "user", content }], ...more });

check("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.deepEqual(listed.sort(), ["echo", "minilm", "smollm2"]);
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

check("responses", async () => {
  const answer = await client.responses.create({ model: "echo", input: WORDS });
  assert.deepEqual([answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens], [WORDS, 20, 20]);
  let text = "";
  for await (const event of await client.responses.create({ model: "echo", input: WORDS, stream: true }))
    if (event.type === "response.output_text.delta") text += event.delta;
  assert.equal(text, WORDS);
  const stream = client.responses.stream({ model: "echo", input: WORDS });
  let pieces = 0;
  stream.on("response.output_text.delta", () => (pieces += 1));
  assert.equal((await stream.finalResponse()).output_text, WORDS);
  atLeast(pieces, 5);
  const again = await client.responses.create({ model: "echo", input: "second", previous_response_id: answer.id });
  assert.deepEqual([again.output_text, again.usage.input_tokens], ["second", 41]);
});

check("parsed responses", async () => {
  const asked = { model: "echo", input: told(OSLO), text: { format: zodTextFormat(City, "city") } };
  assert.deepEqual((await client.responses.parse(asked)).output_parsed, OSLO);
  assert.deepEqual((await client.responses.stream(asked).finalResponse()).output_parsed, OSLO);
  const tools = [zodResponsesFunction({ name: "city", parameters: City })];
  const called = { model: "echo", input: calling(["city", OSLO]), tools };
  for (const answer of [await client.responses.parse(called), await client.responses.stream(called).finalResponse()])
    assert.deepEqual(answer.output.map((item) => item.parsed_arguments), [OSLO]);
});

check("background", async () => {
  const begun = await client.responses.create({ model: "echo", input: WORDS, background: true, stream: true });
  let last, id;
  for await (const event of begun) {
    id ??= event.response.id;
    last = event.sequence_number;
    if (last === 3) break;
  }
  let text = "";
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
  for await (const event of rest) {
    assert.equal(event.sequence_number, (last += 1));
    if (event.type === "response.output_text.done") text = event.text;
  }
  assert.equal(text, WORDS);
  assert.equal((await client.responses.retrieve(id)).status, "completed");
  const { id: another } = await client.responses.create({ model: "echo", input: `${WORDS} ${WORDS}`, background: true });
  assert.equal((await client.responses.cancel(another)).status, "cancelled");
  await client.responses.delete(another);
  await assert.rejects(client.responses.retrieve(another), OpenAI.NotFoundError);
});

check("conversations", async () => {
  const { id } = await client.conversations.create({ metadata: { topic: "words" } });
  for (const input of ["first", "second"]) await client.responses.create({ model: "echo", input, conversation: id });
  const texts = [];
  for await (const item of client.conversations.items.list(id, { order: "asc", limit: 3 })) texts.push(item.content[0].text);
  assert.deepEqual(texts, ["first", "first", "second", "second"]);
  assert.equal((await client.conversations.delete(id)).deleted, true);
});

check("stored chats", async () => {
  const kept = await chats.create(asked(WORDS, { store: true, metadata: { topic: "words" } }));
  assert.equal((await chats.retrieve(kept.id)).choices[0].message.content, WORDS);
  const messages = [];
  for await (const message of chats.messages.list(kept.id)) messages.push(message.content);
  assert.deepEqual(messages, [WORDS]);
  assert.equal((await chats.delete(kept.id)).deleted, true);
});

check("files", async () => {
  const file = await client.files.create({ file: await toFile(Buffer.from(WORDS), "words.txt"), purpose: "user_data" });
  assert.deepEqual([file.bytes, file.filename], [Buffer.byteLength(WORDS), "words.txt"]);
  assert.equal(await (await client.files.content(file.id)).text(), WORDS);
  const ids = [];
  for await (const { id } of client.files.list({ limit: 2 })) ids.push(id);
  assert.ok(ids.includes(file.id));
  const content = [{ type: "input_file", file_id: file.id }];
  assert.match((await client.responses.create({ model: "echo", input: [{ role: "user", content }] })).output_text, /word19/);
  assert.equal((await client.files.delete(file.id)).deleted, true);
});

check("embeddings", async () => {
  const input = ["the red fox", "fox red the", "something else"];
  const told = await client.embeddings.create({ model: "echo", input });
  const floats = await client.embeddings.create({ model: "echo", input, encoding_format: "float" });
  assert.deepEqual(told.data.map(({ index }) => index), [0, 1, 2]);
  assert.deepEqual(told.data.map(({ embedding }) => embedding), floats.data.map(({ embedding }) => embedding.map(Math.fround)));
  const [first, second, third] = told.data.map(({ embedding }) => embedding);
  assert.deepEqual(first, second);
  assert.notDeepEqual(first, third);
  assert.deepEqual(told.usage, { prompt_tokens: 8, total_tokens: 8 });
  const coded = await client.embeddings.create({ model: "echo", input: [[1, 2], [3]], encoding_format: "base64", dimensions: 16 });
  assert.equal(Buffer.from(coded.data[1].embedding, "base64").length, 64);
  await assert.rejects(client.embeddings.create({ model: "smollm2", input }), /Models that can: echo/);
});

check("batches", async () => {
  const endpoint = "/v1/chat/completions";
  const line = (custom_id, more) => JSON.stringify({ custom_id, method: "POST", url: endpoint, body: asked(WORDS, more) });
  const lines = [line("first"), line("wrong", { temperature: "hot" }), line("last", { max_tokens: 3 })];
  const file = await client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "requests.jsonl"), purpose: "batch" });
  let batch = await client.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" });
  while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    batch = await client.batches.retrieve(batch.id);
  }
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
  const content = async (id) => (await (await client.files.content(id)).text()).trim().split("\n").map((each) => JSON.parse(each));
  const texts = (await content(batch.output_file_id)).map(({ custom_id, response }) => [custom_id, response.body.choices[0].message.content]);
  assert.deepEqual(Object.fromEntries(texts), { first: WORDS, last: "word0 word1 word2" });
  const [{ custom_id, response }] = await content(batch.error_file_id);
  assert.deepEqual([custom_id, response.status_code, response.body.error.param], ["wrong", 400, "temperature"]);
  const { data } = await client.batches.list({ limit: 1 });
  assert.equal(data[0].id, batch.id);
});

check("a real model in a form", async () => {
  const more = { model: "smollm2", temperature: 0, max_tokens: 300 };
  const answer = await chats.parse(asked("Tell me of Oslo.", { ...more, response_format: form }));
  assert.deepEqual(City.parse(answer.choices[0].message.parsed), answer.choices[0].message.parsed);
  const tools = { tools: [city], tool_choice: "required", parallel_tool_calls: false };
  const called = await chats.parse(asked("Tell me of Oslo.", { ...more, ...tools }));
  const [call] = called.choices[0].message.tool_calls;
  assert.deepEqual(City.parse(call.function.parsed_arguments), JSON.parse(call.function.arguments));
  const format = { text: { format: zodTextFormat(City, "city") }, max_output_tokens: 300 };
  const said = await client.responses.parse({ model: "smollm2", input: "Tell me of Oslo.", temperature: 0, ...format });
  assert.deepEqual(City.parse(said.output_parsed), said.output_parsed);
});

check("a real model", async () => {
  const answer = await chats.create(asked(QUESTION, { model: "smollm2", temperature: 0 }));
  assert.match(answer.choices[0].message.content, /Paris/);
});

await run();
