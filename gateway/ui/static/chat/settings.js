/** What is asked of the model, as it may be kept: read with care from files and from the browser, and usual for new chats. */

import { signal } from "../vendor/preact.js";
import { keep, kept } from "../parts/kept.js";
import { PARAMETERS, read, show } from "./parameters.js";
import { Wrong, list, object, oneOf, record, text, truth } from "./shape.js";

/** @import { Settings, Tool } from "./types.js" */
/** @import { Reader } from "./shape.js" */

const KEPT = "inferq.settings";
/** What the API takes: tools of a request, bytes of a schema, levels in one another, characters of a tool's name. */
export const MOST_TOOLS = 128;
export const LARGEST_SCHEMA = 65_536;
const DEEPEST_SCHEMA = 64;
export const EFFORTS = /** @type {const} */ (["none", "minimal", "low", "medium", "high"]);
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/**
 * A schema, or what holds one: an object, neither larger nor deeper than the API takes it.
 * @type {Reader<object>}
 */
export function schema(value, place) {
  const found = record(value, place);
  let inner = /** @type {unknown[]} */ ([found]);
  for (let depth = 0; inner.length; depth++) {
    if (depth > DEEPEST_SCHEMA) throw new Wrong(place, `maxDepth ${DEEPEST_SCHEMA}`);
    inner = inner.flatMap((each) => Object.values(/** @type {object} */ (each))).filter((each) => typeof each === "object" && each !== null);
  }
  if (new TextEncoder().encode(JSON.stringify(found)).length > LARGEST_SCHEMA) throw new Wrong(place, `maxLength ${LARGEST_SCHEMA}`);
  return found;
}

/** @type {Reader<string>} */
export function toolName(value, place) {
  if (typeof value !== "string" || !NAME.test(value)) throw new Wrong(place, `pattern ${NAME.source}`);
  return value;
}

/** @type {Reader<Tool>} */
const tool = object({ name: toolName }, { description: text, parameters: schema, answer: text, automatic: truth });

/** @type {Record<string, Reader<any>>} */
const sampled = Object.fromEntries(
  PARAMETERS.map((parameter) => [
    parameter.name,
    (/** @type {unknown} */ value, /** @type {string} */ place) => {
      const given = parameter.kind === "texts" ? list(text, parameter.high)(value, place) : value;
      const { value: found, wrong } = read(parameter, show(given));
      if (wrong || (parameter.kind !== "texts" && typeof value !== "number")) throw new Wrong(place, wrong ?? "number");
      return found;
    },
  ]),
);

const readAll = object(
  {},
  {
    system: text,
    ...sampled,
    reasoning_effort: oneOf(...EFFORTS),
    responseFormat: schema,
    tools: list(tool, MOST_TOOLS),
    toolChoice: text,
    parallelToolCalls: truth,
  },
);

/** @type {Reader<Settings>} */
export const readSettings = (value, place) => /** @type {Settings} */ (readAll(value, place));

/** What new chats begin with. */
export const usual = signal(readUsual());

/** @param {Settings} settings */
export function makeUsual(settings) {
  usual.value = settings;
  keep(KEPT, JSON.stringify(settings));
}

/** @returns {Settings} */
function readUsual() {
  try {
    return readSettings(JSON.parse(kept(KEPT) ?? "{}"), "");
  } catch {
    return {}; // of another release, or spoiled: a chat without it is better than none
  }
}

/**
 * Settings with some changed; what is undefined is taken out.
 * @param {Settings} settings
 * @param {Partial<Settings>} patch
 * @returns {Settings}
 */
export function changed(settings, patch) {
  return Object.fromEntries(Object.entries({ ...settings, ...patch }).filter(([, value]) => value !== undefined));
}
