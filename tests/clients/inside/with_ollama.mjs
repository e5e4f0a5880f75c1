// The `ollama` package for JavaScript.
import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { OSLO, QUESTION, SEPARATORS, URL, WORDS, atLeast, calling, check, run } from "./checks.mjs";

const client = new Ollama({ host: URL });
const asked = (content, more = {}) => ({ model: "echo", messages: [{ role: "user", content }], ...more });
const LOOK = {
  type: "function",
  function: { name: "look", description: "", parameters: { type: "object", properties: { at: { type: "string" } } } },
};

check("models", async () => {
  const names = (await client.list()).models.map((model) => model.name);
  for (const name of ["echo:latest", "minilm:latest", "smollm2:latest"]) assert.ok(names.includes(name), name);
  assert.equal((await client.show({ model: "smollm2" })).details.family, "llama");
  assert.ok((await client.ps()).models.length >= 1);
});

check("chat", async () => {
  const whole = await client.chat(asked(WORDS));
  assert.deepEqual([whole.message.content, whole.done_reason, whole.eval_count], [WORDS, "stop", 20]);
  for (const text of [WORDS, SEPARATORS]) {
    const parts = [];
    for await (const part of await client.chat(asked(text, { stream: true }))) parts.push(part);
    assert.equal(parts.map((part) => part.message.content).join(""), text);
    assert.ok(parts.at(-1).done);
    if (text === WORDS) atLeast(parts.length, 5);
  }
});

check("generate", async () => {
  const first = await client.generate({ model: "echo", prompt: WORDS });
  assert.equal(first.response, WORDS);
  const again = await client.generate({ model: "echo", prompt: WORDS, context: first.context });
  atLeast(again.prompt_eval_count, 60);
});

check("tools", async () => {
  const told = calling(["look", { at: "the sky" }]);
  const { message } = await client.chat(asked(told, { tools: [LOOK] }));
  assert.deepEqual(message.tool_calls[0].function.arguments, { at: "the sky" });
  const messages = [{ role: "user", content: told }, message, { role: "tool", content: "blue", tool_name: "look" }];
  assert.equal((await client.chat({ model: "echo", messages, tools: [LOOK] })).message.content, "blue");
});

check("a form", async () => {
  const answer = await client.chat(asked(JSON.stringify(OSLO), { format: "json" }));
  assert.deepEqual(JSON.parse(answer.message.content), OSLO);
});

check("thoughts", async () => {
  const { message } = await client.chat(asked("<think>First.</think>Done.", { think: true }));
  assert.deepEqual([message.thinking, message.content], ["First.", "Done."]);
});

check("vectors", async () => {
  const { embeddings } = await client.embed({ model: "minilm", input: ["A fox.", "A hound."] });
  assert.deepEqual(embeddings.map((vector) => vector.length), [384, 384]);
});

check("stopped", async () => {
  const stream = await client.chat(asked("on and ".repeat(500), { stream: true }));
  await assert.rejects(async () => {
    for await (const part of stream) if (part.message.content) stream.abort();
  }, /abort/i);
});

check("errors", async () => {
  await assert.rejects(client.chat({ model: "none", messages: [] }), /none/);
  await assert.rejects(client.delete({ model: "echo" }), /does not serve/);
});

check("a real model", async () => {
  const answer = await client.chat(asked(QUESTION, { model: "smollm2", options: { temperature: 0 } }));
  assert.match(answer.message.content, /Paris/);
});

await run();
