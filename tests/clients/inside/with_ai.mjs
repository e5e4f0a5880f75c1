// The AI SDK: `ai` with `@ai-sdk/openai-compatible`.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { QUESTION, SEPARATORS, URL, WORDS, atLeast, check, run } from "./checks.mjs";

const inferq = createOpenAICompatible({ name: "inferq", baseURL: `${URL}/v1`, apiKey: "none", includeUsage: true });
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

check("a real model", async () => {
  const { text } = await generateText({ model: inferq("smollm2"), prompt: QUESTION, temperature: 0, maxRetries: 0 });
  assert.match(text, /Paris/);
});

await run();
