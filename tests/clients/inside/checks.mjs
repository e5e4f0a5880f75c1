// How a script in a client's environment reports: one line of JSON a check. The same as checks.py.
import { appendFileSync } from "node:fs";
import assert from "node:assert/strict";

export const URL = process.env.INFERQ_URL;
export const WORDS = Array.from({ length: 20 }, (_, number) => `word${number}`).join(" ");
export const SEPARATORS = "one\u2028two\u2029three\u0085four";
export const QUESTION = "What is the capital city of France? Answer in one word.";
export const OSLO = { name: "Oslo", size: "small", rivers: [{ name: "Akerselva", length: 9 }] };
// What echo is told, with white space, so that it has many tokens.
export const told = (value) => JSON.stringify(value, null, 1);
export const calling = (...calls) => told(calls.map(([name, args]) => ({ name, arguments: args })));

const planned = [];

export function check(name, run) {
  planned.push({ name, run });
}

export function atLeast(seen, least) {
  assert.ok(seen >= least, `${seen} is less than ${least}`);
}

export async function run() {
  report({ planned: planned.map(({ name }) => name) });
  for (const { name, run } of planned) {
    let why = "";
    try {
      await run();
    } catch (error) {
      console.error(error);
      why = String(error);
    }
    report({ check: name, why });
  }
}

function report(line) {
  appendFileSync(process.env.REPORT, JSON.stringify(line) + "\n");
}
