// The `@anthropic-ai/sdk` package for JavaScript.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const client = new Anthropic({ baseURL: URL, apiKey: "none", maxRetries: 0, timeout: 60_000 });
const asked = (content, more = {}) => ({ model: "echo", max_tokens: 300, messages: [{ role: "user", content }], ...more });
const text = (message) => message.content.filter(({ type }) => type === "text").map((block) => block.text).join("");

check("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.deepEqual(listed.sort(), ["echo", "minilm", "smollm2"]);
});

check("create", async () => {
  const message = await client.messages.create(asked(WORDS, { system: "Be brief." }));
  assert.deepEqual([text(message), message.stop_reason], [WORDS, "end_turn"]);
  assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [22, 20]);
  const again = [...asked("first").messages, { role: "assistant", content: message.content }, { role: "user", content: "second" }];
  assert.equal(text(await client.messages.create(asked("", { messages: again }))), "second");
});

check("stream", async () => {
  const events = [];
  for await (const event of await client.messages.create(asked(WORDS, { stream: true }))) events.push(event);
  const pieces = events.filter(({ type }) => type === "content_block_delta").map(({ delta }) => delta.text);
  assert.equal(pieces.join(""), WORDS);
  atLeast(pieces.length, 5);
});

check("stream helper", async () => {
  const pieces = [];
  const stream = client.messages.stream(asked(WORDS)).on("text", (piece) => pieces.push(piece));
  const message = await stream.finalMessage();
  assert.deepEqual([pieces.join(""), text(message), message.usage.output_tokens], [WORDS, WORDS, 20]);
  assert.equal(await client.messages.stream(asked(SEPARATORS)).finalText(), SEPARATORS);
});

check("thinking", async () => {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const body = asked("<think>First this.</think>Done at last.", { thinking, max_tokens: 2048 });
  for (const message of [await client.messages.create(body), await client.messages.stream(body).finalMessage()]) {
    assert.deepEqual(message.content.map(({ type }) => type), ["thinking", "text"]);
    assert.deepEqual([message.content[0].thinking, text(message)], ["First this.", "Done at last."]);
  }
});

check("parse", async () => {
  const City = z.object({ name: z.string(), size: z.enum(["small", "big"]), rivers: z.array(z.object({ name: z.string(), length: z.number() })) });
  const body = asked(told(OSLO), { output_config: { format: zodOutputFormat(City) } });
  assert.deepEqual((await client.messages.parse(body)).parsed_output, OSLO);
});

check("toolRunner", async () => {
  for (const stream of [false, true]) {
    const called = [];
    const weather = betaZodTool({
      name: "weather",
      description: "The weather",
      inputSchema: z.object({ place: z.string(), days: z.number().int() }),
      run: ({ place, days }) => (called.push([place, days]), `cold in ${place}`),
    });
    const prompt = calling(["weather", { place: "Oslo", days: 2 }], ["weather", { place: "Rome", days: 1 }]);
    const runner = client.beta.messages.toolRunner({ ...asked(prompt, { tools: [weather] }), stream });
    assert.equal(text(await runner.runUntilDone()), "cold in Oslo\ncold in Rome");
    assert.deepEqual(called.sort(), [["Oslo", 2], ["Rome", 1]]);
  }
});

check("countTokens", async () => {
  const { max_tokens, ...body } = asked(WORDS, { system: "Be brief." });
  assert.equal((await client.messages.countTokens(body)).input_tokens, 22);
});

check("errors", async () => {
  await assert.rejects(client.messages.create(asked("hello", { max_tokens: "many" })), Anthropic.BadRequestError);
  await assert.rejects(client.messages.create(asked("hello", { model: "nobody" })), Anthropic.NotFoundError);
});

check("a real model", async () => {
  const message = await client.messages.create(asked(QUESTION, { model: "smollm2", temperature: 0 }));
  assert.match(text(message), /Paris/);
});

await run();
