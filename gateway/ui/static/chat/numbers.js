/** Numbers as people read them, in their language. */

import { language, t } from "../words/index.js";

/** @param {number} value */
export function count(value) {
  return new Intl.NumberFormat(language.value).format(value);
}

/**
 * Few digits: 0.42, 3.1, 31.
 * @param {number} value
 */
export function rough(value) {
  const maximumFractionDigits = value < 1 ? 2 : value < 10 ? 1 : 0;
  return new Intl.NumberFormat(language.value, { maximumFractionDigits }).format(value);
}

/** @param {number} value  how many weights */
export function parameters(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

/** @param {number} value */
export function bytes(value) {
  const [size, unit] = value < 1e9 ? [value / 1e6, "megabyte"] : [value / 1e9, "gigabyte"];
  return new Intl.NumberFormat(language.value, { style: "unit", unit, maximumFractionDigits: size < 10 ? 1 : 0 }).format(size);
}

/** @param {number} seconds */
export function duration(seconds) {
  return seconds < 90 ? t("seconds", { count: rough(seconds) }) : t("minutes", { count: rough(seconds / 60) });
}
