// Claude Code: its loop of tools in a folder of its own. Echo is told what to call, also by what tools answer.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { QUESTION, URL, WORDS, atLeast, calling, check, run } from "./checks.mjs";

const COMMAND = createRequire(import.meta.url).resolve("@anthropic-ai/claude-code/cli-wrapper.cjs");
const SETTINGS = { attribution: { commit: "", pr: "" } }; // else a reminder of it stands before what is said
const TOLD = {
  ANTHROPIC_BASE_URL: URL,
  ANTHROPIC_API_KEY: "none",
  ANTHROPIC_MODEL: "echo",
  ANTHROPIC_DEFAULT_HAIKU_MODEL: "echo",
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
};

const begin = () => mkdtempSync(join(process.env.HOME, "work-"));

// What it reports, line by line.
async function claude(cwd, prompt, ...more) {
  const words = ["-p", prompt, "--settings", JSON.stringify(SETTINGS), "--allowedTools", "Bash,Write,Read,Edit"];
  const options = { cwd, env: { ...process.env, ...TOLD }, timeout: 120_000, maxBuffer: 1 << 26 };
  const done = promisify(execFile)(process.execPath, [COMMAND, ...words, "--output-format", "stream-json", "--verbose", ...more], options);
  done.child.stdin.end();
  const lines = (await done).stdout.trim().split("\n").map((line) => JSON.parse(line));
  const result = lines.at(-1);
  assert.deepEqual([result.type, result.is_error, result.stop_reason], ["result", false, "end_turn"]);
  return { lines, ...result };
}

check("answer", async () => {
  const { result, usage, num_turns } = await claude(begin(), WORDS);
  assert.deepEqual([result, num_turns], [WORDS, 1]);
  atLeast(usage.input_tokens, 1000);
  atLeast(usage.output_tokens, 20);
});

check("pieces of an answer", async () => {
  const { lines, result } = await claude(begin(), WORDS, "--include-partial-messages");
  const deltas = lines.filter(({ event }) => event?.delta?.type === "text_delta");
  assert.equal(deltas.map(({ event }) => event.delta.text).join(""), WORDS);
  assert.equal(result, WORDS);
  atLeast(deltas.length, 5);
});

check("loop of tools", async () => {
  const folder = begin();
  const file = join(folder, "hello.py");
  writeFileSync(join(folder, "next.json"), calling(["Write", { file_path: file, content: 'print("hello")\n' }]));
  const { num_turns, usage } = await claude(folder, calling(["Bash", { command: "cat next.json", description: "Shows it" }]));
  assert.equal(num_turns, 3);
  assert.equal(readFileSync(file, "utf-8"), 'print("hello")\n');
  atLeast(usage.output_tokens, 20);
});

check("several tools at once, and an edit of what was read", async () => {
  const folder = begin();
  const file = join(folder, "hello.py");
  writeFileSync(file, 'print("hello")\n');
  const { lines } = await claude(folder, calling(["Read", { file_path: file }], ["Bash", { command: "echo seen" }]));
  const results = lines.filter(({ type }) => type === "user").flatMap(({ message }) => message.content);
  assert.deepEqual(results.map(({ type, is_error }) => [type, !!is_error]), [["tool_result", false], ["tool_result", false]]);
  const edit = ["Edit", { file_path: file, old_string: "hello", new_string: "edited" }];
  const { result } = await claude(folder, calling(edit), "--continue");
  assert.match(result, /hello\.py/);
  assert.equal(readFileSync(file, "utf-8"), 'print("edited")\n');
});

check("tool that is searched for", async () => {
  const { result, num_turns } = await claude(begin(), calling(["ToolSearch", { query: "select:WebFetch", max_results: 5 }]));
  assert.deepEqual([result, num_turns], ["WebFetch", 2]);
});

check("tool that fails", async () => {
  const { result } = await claude(begin(), calling(["Bash", { command: "echo broken >&2; exit 3" }]));
  assert.match(result, /broken/);
});

check("conversation continued", async () => {
  const folder = begin();
  const first = await claude(folder, "first");
  const second = await claude(folder, "second", "--continue");
  assert.deepEqual([second.result, second.session_id], ["second", first.session_id]);
  atLeast(second.usage.input_tokens, first.usage.input_tokens + 2);
});

check("a real model", async () => {
  // Without tools and instructions of its own: those take a small model on one core minutes to read.
  const { result, usage } = await claude(begin(), QUESTION, "--bare", "--model", "smollm2", "--tools", "", "--system-prompt", "Be brief.");
  assert.match(result, /\w/);
  atLeast(usage.input_tokens, 20);
  atLeast(usage.output_tokens, 1);
});

await run();
