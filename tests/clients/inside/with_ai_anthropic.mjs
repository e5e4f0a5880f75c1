// The AI SDK: `ai` with `@ai-sdk/anthropic`.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run, told } from "./checks.mjs";

const inferq = createAnthropic({ baseURL: `${URL}/v1`, apiKey: "none" });
const asked = { model: inferq("echo"), maxOutputTokens: 300, maxRetries: 0 };

check("generateText", async () => {
  const { text, finishReason, usage } = await generateText({ ...asked, prompt: WORDS });
  assert.deepEqual([text, finishReason, usage.inputTokens, usage.outputTokens], [WORDS, "stop", 20, 20]);
});

check("streamText", async () => {
  const answer = streamText({ ...asked, prompt: WORDS });
  const pieces = [];
  for await (const piece of answer.textStream) pieces.push(piece);
  assert.equal(pieces.join(""), WORDS);
  atLeast(pieces.length, 3);
  assert.equal((await answer.usage).outputTokens, 20);
});

check("history and parts", async () => {
  const { response } = await generateText({ ...asked, prompt: "first" });
  const messages = [
    { role: "user", content: "first" },
    ...response.messages,
    { role: "user", content: [{ type: "text", text: "second" }] },
  ];
  const { text, usage } = await generateText({ ...asked, system: "Be brief.", messages });
  assert.deepEqual([text, usage.inputTokens], ["second", 5]);
});

check("line separators", async () => {
  let text = "";
  for await (const piece of streamText({ ...asked, prompt: SEPARATORS }).textStream) text += piece;
  assert.equal(text, SEPARATORS);
});

check("thinking", async () => {
  const providerOptions = { anthropic: { thinking: { type: "enabled", budgetTokens: 1024 } } };
  const prompt = "<think>First this. Then that.</think>Done at last.";
  const { text, reasoningText } = await generateText({ ...asked, prompt, providerOptions });
  assert.deepEqual([text, reasoningText], ["Done at last.", "First this. Then that."]);
  const streamed = streamText({ ...asked, prompt, providerOptions });
  await streamed.consumeStream();
  assert.deepEqual([await streamed.text, await streamed.reasoningText], [text, reasoningText]);
});

const City = z.object({
  name: z.string().max(20),
  size: z.enum(["small", "big"]),
  rivers: z.array(z.object({ name: z.string().max(20), length: z.number().int() })).max(2),
});

check("Output.object", async () => {
  for (const structuredOutputMode of ["outputFormat", "jsonTool"]) {
    const prompt = structuredOutputMode === "jsonTool" ? calling(["json", OSLO]) : told(OSLO);
    const body = { ...asked, output: Output.object({ schema: City }), prompt, providerOptions: { anthropic: { structuredOutputMode } } };
    assert.deepEqual((await generateText(body)).output, OSLO);
    const { output, partialOutputStream } = streamText(body);
    let pieces = 0;
    for await (const _ of partialOutputStream) pieces += 1;
    atLeast(pieces, 3);
    assert.deepEqual(await output, OSLO);
  }
});

const loop = () => {
  const called = [];
  const execute = async ({ place, days }) => (called.push([place, days]), `cold in ${place}`);
  const inputSchema = z.object({ place: z.string(), days: z.number().int() });
  const tools = { weather: tool({ description: "The weather", inputSchema, execute }) };
  const prompt = calling(["weather", { place: "Oslo", days: 2 }], ["weather", { place: "Rome", days: 1 }]);
  return { called, body: { ...asked, tools, prompt, stopWhen: stepCountIs(5) } };
};
const CALLED = [["Oslo", 2], ["Rome", 1]];

check("loop of tools", async () => {
  const { called, body } = loop();
  const { text, steps, response } = await generateText(body);
  assert.deepEqual([text, steps.length, called], ["cold in Oslo\ncold in Rome", 2, CALLED]);
  const messages = [{ role: "user", content: "first" }, ...response.messages, { role: "user", content: "second" }];
  assert.equal((await generateText({ ...body, prompt: undefined, messages })).text, "second");
});

check("loop of tools, streamed", async () => {
  const { called, body } = loop();
  const answer = streamText(body);
  const kinds = [];
  for await (const part of answer.fullStream) kinds.push(part.type);
  assert.deepEqual([await answer.text, (await answer.steps).length, called], ["cold in Oslo\ncold in Rome", 2, CALLED]);
  atLeast(kinds.filter((kind) => kind === "tool-input-delta").length, 3);
  assert.equal(kinds.filter((kind) => kind === "tool-result").length, 2);
});

check("a real model", async () => {
  const { text } = await generateText({ ...asked, model: inferq("smollm2"), prompt: QUESTION, temperature: 0 });
  assert.match(text, /Paris/);
});

await run();
