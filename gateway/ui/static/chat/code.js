/** A request as somebody would write it: for curl, and for the Python client of OpenAI's. Pure. */

/** @typedef {{origin: string, body: Record<string, unknown>, keyed: boolean}} Sent
    what is asked where, and whether with a key, which is never shown: programs find it in $OPENAI_API_KEY */

const WIDTH = 96;
/** What `openai` takes by its name; all else goes by `extra_body`, which it passes on. */
const KNOWN = new Set(
  ("model messages stream temperature top_p max_tokens max_completion_tokens presence_penalty frequency_penalty seed stop n " +
    "response_format tools tool_choice parallel_tool_calls reasoning_effort logit_bias logprobs top_logprobs").split(" "),
);
/** Characters that nobody sees, or that turn the text around them: code shows them by their numbers. */
const UNSEEN = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/**
 * For bash, zsh and sh. The body is a here-document in quotes, in which no character means anything, however long it is.
 * @param {Sent} sent
 */
export function curl({ origin, body, keyed }) {
  const streamed = body.stream ? " --no-buffer" : "";
  const key = keyed ? `  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n` : "";
  const json = write(body, { word: String, indent: 0 });
  return (
    `curl -sS${streamed} "${origin}/v1/chat/completions" \\\n${key}` +
    `  -H "Content-Type: application/json" \\\n  --data-binary @- <<'JSON'\n${json}\nJSON\n`
  );
}

/** @param {Sent} sent */
export function python({ origin, body, keyed }) {
  const entries = Object.entries(body);
  const known = entries.filter(([name]) => KNOWN.has(name));
  const extra = entries.filter(([name]) => !KNOWN.has(name));
  const given = [...known, ...(extra.length ? [["extra_body", Object.fromEntries(extra)]] : [])];
  const lines = given.map(([name, value]) => `    ${name}=${write(value, { word: pythonWord, indent: 4 })},\n`);
  const key = keyed ? ")  # with the key in $OPENAI_API_KEY" : ', api_key="none")';
  return (
    `from openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(`${origin}/v1`)}${key}\n` +
    `${body.stream ? "stream" : "answer"} = client.chat.completions.create(\n${lines.join("")})\n` +
    (body.stream ? streamed(body) : "print(answer.choices[0].message)\n")
  );
}

/** @param {Record<string, unknown>} body */
function streamed(body) {
  const calls = "        for call in delta.tool_calls or []:\n            print(call.function.name or call.function.arguments, end=\"\", flush=True)\n";
  return (
    "for chunk in stream:\n    for choice in chunk.choices:\n        delta = choice.delta\n" +
    `        print(delta.content or "", end="", flush=True)\n${body.tools ? calls : ""}print()\n`
  );
}

/** @param {null | boolean} value */
function pythonWord(value) {
  return value === null ? "None" : value ? "True" : "False";
}

/**
 * A value of JSON as a literal, in one line where it is short.
 * @param {unknown} value
 * @param {{word: (value: null | boolean) => string, indent: number}} style  `indent`: spaces before its last line
 * @returns {string}
 */
export function write(value, { word, indent }) {
  if (value === null || typeof value === "boolean") return word(value);
  if (typeof value !== "object") return JSON.stringify(value).replace(UNSEEN, escape);
  const style = { word, indent: indent + (word === String ? 2 : 4) };
  const items = Array.isArray(value)
    ? value.map((item) => write(item, style))
    : Object.entries(value).map(([name, item]) => `${write(name, style)}: ${write(item, style)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${items.join(", ")}${close}`;
  if (!items.length || (line.length + indent < WIDTH && !line.includes("\n"))) return line;
  const comma = word === String ? "" : ",";
  const space = " ".repeat(style.indent);
  return `${open}\n${items.map((item) => space + item).join(",\n")}${comma}\n${" ".repeat(indent)}${close}`;
}

/** @param {string} character */
function escape(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
