/** What the page says, in the language of who reads it. One table: each row has every language. */

import { signal } from "../vendor/preact.js";
import { keep, kept } from "../parts/kept.js";
import { chat } from "./chat.js";
import { common } from "./common.js";
import { markdown } from "./markdown.js";
import { overview } from "./overview.js";
import { panel } from "./panel.js";

export const LANGUAGES = /** @type {const} */ (["en", "de"]);
/** @typedef {typeof LANGUAGES[number]} Language */
/** @typedef {readonly [en: string, de: string]} Row */

const table = { ...common, ...chat, ...markdown, ...overview, ...panel };
/** @typedef {keyof typeof table} Word */

/** @returns {Language} */
function preferred() {
  const wanted = [kept("inferq.language"), ...navigator.languages].map((tag) => tag?.slice(0, 2));
  return LANGUAGES.find((language) => language === wanted.find((tag) => LANGUAGES.some((each) => each === tag))) ?? "en";
}

export const language = signal(preferred());

/** @param {Language} chosen */
export function speak(chosen) {
  language.value = chosen;
  keep("inferq.language", chosen);
  document.documentElement.lang = chosen;
}

/**
 * The text of a word, with `{name}` in it replaced.
 * @param {Word} word
 * @param {Record<string, string | number>} [values]
 */
export function t(word, values = {}) {
  const text = /** @type {Row} */ (table[word])[LANGUAGES.indexOf(language.value)] ?? "";
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
document.documentElement.lang = language.value;
