// The AI SDK with `@ai-sdk/openai`, whose models ask for responses.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const inferq = createOpenAI({ baseURL: `${URL}/v1`, apiKey: "none" });
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
  for (const store of [true, false]) {
    const asked = { model, maxRetries: 0, providerOptions: { openai: { store } } };
    const { response } = await generateText({ ...asked, prompt: "first" });
    const messages = [
      { role: "user", content: "first" },
      ...response.messages,
      { role: "user", content: [{ type: "text", text: "second" }] },
    ];
    const { text, usage } = await generateText({ ...asked, system: "Be brief.", messages });
    assert.deepEqual([text, usage.inputTokens], ["second", 5]);
  }
});

check("response before", async () => {
  const { providerMetadata } = await generateText({ model, prompt: "first", maxRetries: 0 });
  const providerOptions = { openai: { previousResponseId: providerMetadata.openai.responseId } };
  const { text, usage } = await generateText({ model, prompt: "second", providerOptions, maxRetries: 0 });
  assert.deepEqual([text, usage.inputTokens], ["second", 3]);
});

check("conversation", async () => {
  const made = await fetch(`${URL}/v1/conversations`, { method: "POST", body: "{}", headers: { "content-type": "application/json" } });
  const providerOptions = { openai: { conversation: (await made.json()).id } };
  await generateText({ model, prompt: "first", providerOptions, maxRetries: 0 });
  const { text, usage } = await generateText({ model, prompt: "second", providerOptions, maxRetries: 0 });
  assert.deepEqual([text, usage.inputTokens], ["second", 3]);
});

check("thoughts", async () => {
  const thinking = { model: inferq("echo"), maxRetries: 0 };
  thinking.providerOptions = { openai: { forceReasoning: true, reasoningEffort: "high", reasoningSummary: "auto" } };
  const prompt = `<think>one two three</think>${WORDS}`;
  const whole = await generateText({ ...thinking, prompt });
  assert.deepEqual([whole.reasoningText, whole.text], ["one two three", WORDS]);
  const streamed = streamText({ ...thinking, prompt });
  assert.deepEqual([await streamed.reasoningText, await streamed.text], ["one two three", WORDS]);
  const messages = [{ role: "user", content: "first" }, ...whole.response.messages, { role: "user", content: "second" }];
  assert.equal((await generateText({ ...thinking, messages })).text, "second");
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

check("Output.object", async () => {
  const asked = { model, output: Output.object({ schema: City }), prompt: told(OSLO), maxRetries: 0 };
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
  for (const store of [true, false]) {
    const { called, asked } = loop();
    const providerOptions = { openai: { store } };
    const { text, steps, response } = await generateText({ ...asked, providerOptions });
    assert.deepEqual([text, steps.length, called], ["cold in Oslo\ncold in Rome", 2, CALLED]);
    const messages = [{ role: "user", content: "first" }, ...response.messages, { role: "user", content: "second" }];
    assert.equal((await generateText({ ...asked, providerOptions, prompt: undefined, messages })).text, "second");
  }
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

check("a real model in a form", async () => {
  const asked = { temperature: 0, maxOutputTokens: 300, maxRetries: 0, model: inferq("smollm2"), prompt: "Tell me of Oslo." };
  const { output } = await generateText({ ...asked, output: Output.object({ schema: City }) });
  assert.deepEqual(City.parse(output), output);
  const tools = { city: tool({ inputSchema: City }) };
  const { toolCalls } = await generateText({ ...asked, tools, toolChoice: { type: "tool", toolName: "city" } });
  assert.deepEqual(toolCalls.map(({ input, invalid }) => [City.parse(input), invalid]), [[toolCalls[0].input, undefined]]);
});

check("a real model", async () => {
  const { text } = await generateText({ model: inferq("smollm2"), prompt: QUESTION, temperature: 0, maxRetries: 0 });
  assert.match(text, /Paris/);
});

await run();
