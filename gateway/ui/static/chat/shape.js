/** Whether what comes from a file is what it should be: each reader returns the value it knows, or says where it is wrong. Pure. */

/** @template T @typedef {(value: unknown, place: string) => T} Reader */

/** What is wrong, in which place: `conversations[2].title`. */
export class Wrong extends Error {
  /** @param {string} place @param {string} expected  in JSON Schema's words, such as `string` */
  constructor(place, expected) {
    super(`${place}: ${expected}`);
    this.place = place;
    this.expected = expected;
  }
}

/** @type {Reader<string>} */
export function text(value, place) {
  if (typeof value !== "string") throw new Wrong(place, "string");
  return value;
}

/** @type {Reader<number>} */
export function number(value, place) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Wrong(place, "number");
  return value;
}

/** @type {Reader<boolean>} */
export function truth(value, place) {
  if (typeof value !== "boolean") throw new Wrong(place, "boolean");
  return value;
}

/**
 * @template {string} T
 * @param {...T} words
 * @returns {Reader<T>}
 */
export function oneOf(...words) {
  return (value, place) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new Wrong(place, words.join(" | "));
    return found;
  };
}

/**
 * @template T
 * @param {Reader<T>} read
 * @param {number} most
 * @returns {Reader<T[]>}
 */
export function list(read, most) {
  return (value, place) => {
    if (!Array.isArray(value)) throw new Wrong(place, "array");
    if (value.length > most) throw new Wrong(place, `maxItems ${most}`);
    return value.map((item, index) => read(item, `${place}[${index}]`));
  };
}

/**
 * An object with these members, and with those of `optional` that it has; others are dropped.
 * @template {Record<string, Reader<any>>} R
 * @template {Record<string, Reader<any>>} O
 * @param {R} required
 * @param {O} optional
 * @returns {Reader<{[K in keyof R]: ReturnType<R[K]>} & {[K in keyof O]?: ReturnType<O[K]>}>}
 */
export function object(required, optional) {
  return (value, place) => {
    const given = record(value, place);
    const read = (/** @type {Record<string, Reader<any>>} */ readers) =>
      Object.entries(readers).flatMap(([name, reader]) =>
        readers === required || (Object.hasOwn(given, name) && given[name] !== undefined && given[name] !== null)
          ? [[name, reader(Object.hasOwn(given, name) ? given[name] : undefined, place ? `${place}.${name}` : name)]]
          : [],
      );
    return Object.fromEntries([...read(required), ...read(optional)]);
  };
}

/** @type {Reader<Record<string, unknown>>} */
export function record(value, place) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Wrong(place, "object");
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * @template T
 * @param {Reader<T>} read
 * @returns {Reader<T | null>}
 */
export function orNull(read) {
  return (value, place) => (value === null || value === undefined ? null : read(value, place));
}
