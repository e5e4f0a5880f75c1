/** Numbers as people read them, in their language. */

import { language, t } from "../words/index.js";

/** How numbers and times are written: as where the reader is, if that speaks the page's language. */
export function locale() {
  return navigator.languages.find((tag) => tag.startsWith(language.value)) ?? language.value;
}

/** @param {number} value */
export function count(value) {
  return new Intl.NumberFormat(locale()).format(value);
}

/**
 * Few digits: 0.42, 3.1, 31.
 * @param {number} value
 */
export function rough(value) {
  const maximumFractionDigits = value < 1 ? 2 : value < 10 ? 1 : 0;
  return new Intl.NumberFormat(locale(), { maximumFractionDigits }).format(value);
}

/** @param {number} value  how many weights */
export function parameters(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

/** @param {number} value */
export function bytes(value) {
  const [size, unit] = value < 1e9 ? [value / 1e6, "megabyte"] : [value / 1e9, "gigabyte"];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, maximumFractionDigits: size < 10 ? 1 : 0 }).format(size);
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return t("seconds", { count: rough(seconds) });
  if (seconds < 5400) return t("minutes", { count: rough(seconds / 60) });
  return seconds < 172_800 ? t("hours", { count: rough(seconds / 3600) }) : t("days", { count: rough(seconds / 86_400) });
}
