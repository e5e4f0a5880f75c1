/** Schemas and tools to begin with. Their names are for people, so they are words of the page. */

/** @typedef {import("../words/index.js").Word} Word */

/** @param {Record<string, unknown>} properties */
function object(properties) {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

const text = { type: "string" };

/** @type {readonly {name: Word, schema: object}[]} */
export const SCHEMAS = [
  { name: "schema.person", schema: object({ name: text, age: { type: "integer", minimum: 0, maximum: 150 }, occupation: text }) },
  {
    name: "schema.list",
    schema: object({ items: { type: "array", items: object({ title: text, reason: text }), minItems: 1, maxItems: 5 } }),
  },
  {
    name: "schema.classification",
    schema: object({ label: { enum: ["positive", "neutral", "negative"] }, confidence: { type: "number", minimum: 0, maximum: 1 } }),
  },
];

/** @type {readonly {word: Word, name: string, description: string, parameters: object, stub: string}[]} */
export const TOOLS = [
  {
    word: "tool.weather",
    name: "get_weather",
    description: "Get the current weather in a city",
    parameters: { type: "object", properties: { city: text, unit: { enum: ["celsius", "fahrenheit"] } }, required: ["city"] },
    stub: '{"temperature": 21, "unit": "celsius", "sky": "clear"}',
  },
  {
    word: "tool.calculator",
    name: "calculate",
    description: "Compute an arithmetic expression",
    parameters: { type: "object", properties: { expression: { type: "string", description: "such as 2 * (3 + 4)" } }, required: ["expression"] },
    stub: "42",
  },
];
