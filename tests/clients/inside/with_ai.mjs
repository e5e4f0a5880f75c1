// The AI SDK: `ai` with `@ai-sdk/openai-compatible`.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, cosineSimilarity, embed, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const ADDRESS = { name: "inferq", baseURL: `${URL}/v1`, apiKey: "none", includeUsage: true };
const inferq = createOpenAICompatible(ADDRESS);
const model = inferq("echo");

check("generateText", async () => {
  const { text, finishReason, usage } = await generateText({ model, prompt: WORDS, maxRetries: 0 });
  assert.deepEqual([text, finishReason, usage.inputTokens, usage.outputTokens], [WORDS, "stop", 20, 20]);
});

check("streamText", async () => {
  const answer = streamText({ model, prompt: WORDS, maxRetries: 0 });
  const pieces = [];
  for await (const piece of answer.textStream) pieces.push(piece);
  assert.equal(pieces.join(""), WORDS);
  atLeast(pieces.length, 3);
  assert.equal((await answer.usage).outputTokens, 20);
});

check("history and parts", async () => {
  const { response } = await generateText({ model, prompt: "first", maxRetries: 0 });
  const messages = [
    { role: "user", content: "first" },
    ...response.messages,
    { role: "user", content: [{ type: "text", text: "second" }] },
  ];
  const { text, usage } = await generateText({ model, system: "Be brief.", messages, maxRetries: 0 });
  assert.deepEqual([text, usage.inputTokens], ["second", 5]);
});

check("completion model", async () => {
  const { text } = await generateText({ model: inferq.completionModel("echo"), prompt: WORDS, maxRetries: 0 });
  assert.match(text, /word0 word1 word2/);
});

check("line separators", async () => {
  const { textStream } = streamText({ model, prompt: SEPARATORS, maxRetries: 0 });
  let text = "";
  for await (const piece of textStream) text += piece;
  assert.equal(text, SEPARATORS);
});

const City = z.object({
  name: z.string().max(20),
  size: z.enum(["small", "big"]),
  rivers: z.array(z.object({ name: z.string().max(20), length: z.number().int() })).max(2),
});
const schemas = createOpenAICompatible({ ...ADDRESS, supportsStructuredOutputs: true });

check("generateObject and streamObject", async () => {
  for (const each of [model, schemas("echo")]) {
    const asked = { model: each, schema: City, prompt: told(OSLO), maxRetries: 0 };
    assert.deepEqual((await generateObject(asked)).object, OSLO);
    const pieces = [];
    for await (const piece of streamObject(asked).partialObjectStream) pieces.push(piece);
    assert.deepEqual(pieces.at(-1), OSLO);
    atLeast(pieces.length, 3);
  }
  const { object } = await generateObject({ model: schemas("echo"), output: "enum", enum: ["a", "b"], prompt: '{"result": "b"}' });
  assert.equal(object, "b");
});

check("Output.object", async () => {
  const asked = { model: schemas("echo"), output: Output.object({ schema: City }), prompt: told(OSLO), maxRetries: 0 };
  assert.deepEqual((await generateText(asked)).output, OSLO);
  const { output, partialOutputStream } = streamText(asked);
  let pieces = 0;
  for await (const _ of partialOutputStream) pieces += 1;
  atLeast(pieces, 3);
  assert.deepEqual(await output, OSLO);
});

const loop = () => {
  const called = [];
  const execute = async ({ place, days }) => (called.push([place, days]), `cold in ${place}`);
  const inputSchema = z.object({ place: z.string(), days: z.number().int() });
  const tools = { weather: tool({ description: "The weather", inputSchema, execute }) };
  const prompt = calling(["weather", { place: "Oslo", days: 2 }], ["weather", { place: "Rome", days: 1 }]);
  return { called, asked: { model, tools, prompt, stopWhen: stepCountIs(5), maxRetries: 0 } };
};
const CALLED = [["Oslo", 2], ["Rome", 1]];

check("loop of tools", async () => {
  const { called, asked } = loop();
  const { text, steps, response } = await generateText(asked);
  assert.deepEqual([text, steps.length, called], ["cold in Oslo\ncold in Rome", 2, CALLED]);
  const messages = [{ role: "user", content: "first" }, ...response.messages, { role: "user", content: "second" }];
  assert.equal((await generateText({ ...asked, prompt: undefined, messages })).text, "second");
});

check("loop of tools, streamed", async () => {
  const { called, asked } = loop();
  const answer = streamText(asked);
  const kinds = [];
  for await (const part of answer.fullStream) kinds.push(part.type);
  assert.deepEqual([await answer.text, (await answer.steps).length, called], ["cold in Oslo\ncold in Rome", 2, CALLED]);
  atLeast(kinds.filter((kind) => kind === "tool-input-delta").length, 3);
  assert.equal(kinds.filter((kind) => kind === "tool-result").length, 2);
});

check("embed and embedMany", async () => {
  const { embedding, usage } = await embed({ model: inferq.textEmbeddingModel("echo"), value: "the red fox", maxRetries: 0 });
  assert.deepEqual([embedding.length, usage.tokens], [64, 3]);
  const values = Array.from({ length: 3000 }, (_, number) => `text ${number}`);
  const many = await embedMany({ model: inferq.textEmbeddingModel("echo"), values: [...values, "fox red the"], maxRetries: 0 });
  assert.equal(many.embeddings.length, 3001);
  assert.deepEqual(many.embeddings.at(-1), embedding);
  assert.ok(cosineSimilarity(embedding, many.embeddings[0]) < 0.9);
  const providerOptions = { inferq: { dimensions: 16 } };
  const short = await embed({ model: inferq.textEmbeddingModel("echo"), value: "a", providerOptions, maxRetries: 0 });
  assert.equal(short.embedding.length, 16);
});

check("a real model in a form", async () => {
  const asked = { temperature: 0, maxOutputTokens: 300, maxRetries: 0 };
  const { object } = await generateObject({ ...asked, model: schemas("smollm2"), schema: City, prompt: "Tell me of Oslo." });
  assert.deepEqual(City.parse(object), object);
  const tools = { city: tool({ inputSchema: City }) };
  const { toolCalls } = await generateText({
    ...asked, model: inferq("smollm2"), tools, toolChoice: { type: "tool", toolName: "city" }, prompt: "Tell me of Oslo.",
  });
  assert.deepEqual(toolCalls.map(({ input, invalid }) => [City.parse(input), invalid]), [[toolCalls[0].input, undefined]]);
});

check("a real model", async () => {
  const { text } = await generateText({ model: inferq("smollm2"), prompt: QUESTION, temperature: 0, maxRetries: 0 });
  assert.match(text, /Paris/);
});

await run();
