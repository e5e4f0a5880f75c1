/** How an answer may be sampled: what the API takes, and how fields say it. Pure. */

/** @typedef {number | string | string[]} Value */
/** @typedef {{name: string, kind: "number" | "integer" | "texts", low: number, high: number, usual: string, step?: number}} Parameter
    `usual`: what OpenAI's API does where a model says nothing of its own; of texts, `high` of them are taken */

const INT32_MAX = 2 ** 31 - 1;
const LONGEST_STOP = 1024;

/** In the order in which they are shown. A gateway may be set to bounds of its own: then it says so. @type {readonly Parameter[]} */
export const PARAMETERS = [
  { name: "temperature", kind: "number", low: 0, high: 100, usual: "1", step: 0.1 },
  { name: "top_p", kind: "number", low: 0, high: 1, usual: "1", step: 0.05 },
  { name: "top_k", kind: "integer", low: -1, high: INT32_MAX, usual: "0" },
  { name: "min_p", kind: "number", low: 0, high: 1, usual: "0", step: 0.01 },
  { name: "repeat_penalty", kind: "number", low: 0.01, high: 100, usual: "1", step: 0.05 },
  { name: "presence_penalty", kind: "number", low: -2, high: 2, usual: "0", step: 0.1 },
  { name: "frequency_penalty", kind: "number", low: -2, high: 2, usual: "0", step: 0.1 },
  { name: "max_tokens", kind: "integer", low: -1, high: 32768, usual: "" },
  { name: "seed", kind: "integer", low: Number.MIN_SAFE_INTEGER, high: Number.MAX_SAFE_INTEGER, usual: "" },
  { name: "stop", kind: "texts", low: 0, high: 16, usual: "" },
];

/**
 * What a field's text means: a value, nothing (the model's default), or what is wrong with it, in the words of the API.
 * @param {Parameter} parameter
 * @param {string} text
 * @returns {{value?: Value, wrong?: string}}
 */
export function read({ name, kind, low, high }, text) {
  if (kind === "texts") return readTexts(name, text, high);
  const trimmed = text.trim().replace(/^(-?\d*),(\d+)$/, "$1.$2");
  if (!trimmed) return {};
  const value = Number(trimmed);
  if (!Number.isFinite(value)) return { wrong: `Invalid type for '${name}': expected a number, but got a string instead.` };
  if (kind === "integer" && !Number.isInteger(value)) {
    return { wrong: `Invalid type for '${name}': expected an integer, but got a decimal number instead.` };
  }
  if (value < low) return { wrong: `Invalid '${name}': must be at least ${low}, but is ${value}.` };
  if (value > high) return { wrong: `Invalid '${name}': must be at most ${high}, but is ${value}.` };
  return { value };
}

/** One a line; a line's `\n` is a new line, and its `\\` a backslash. @param {string} name @param {string} text @param {number} most */
function readTexts(name, text, most) {
  const texts = text.split("\n").filter(Boolean).map((line) => line.replace(/\\([\\nt])/g, (_, sign) => SIGNS[sign] ?? sign));
  if (!texts.length) return {};
  if (texts.length > most) return { wrong: `Invalid '${name}': at most ${most} elements, but there are ${texts.length}.` };
  const index = texts.findIndex((each) => new TextEncoder().encode(each).length > LONGEST_STOP);
  if (index >= 0) return { wrong: `Invalid '${name}[${index}]': at most ${LONGEST_STOP} bytes.` };
  return { value: texts };
}

/** @type {Record<string, string>} */
const SIGNS = { n: "\n", t: "\t", "\\": "\\" };

/** The text that `read` takes for this value. @param {unknown} value */
export function show(value) {
  if (value === undefined || value === null) return "";
  const line = (/** @type {unknown} */ text) => String(text).replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\t/g, "\\t");
  return Array.isArray(value) ? value.map(line).join("\n") : String(value);
}

/**
 * What is used where nothing is chosen.
 * @param {Parameter} parameter
 * @param {Record<string, number> | undefined} own  the model's own, of `GET /v1/models`
 */
export function fallback({ name, usual }, own) {
  const value = own?.[name];
  return value === undefined ? usual : String(value);
}
