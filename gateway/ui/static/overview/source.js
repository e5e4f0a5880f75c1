/** Where the numbers come from: one connection, kept while somebody looks, and made again when it breaks. */

import { ApiError, ask, key } from "../api/client.js";
import { events } from "../api/events.js";
import { signal } from "../vendor/preact.js";

/** @import { History, Overview, Series } from "./types.js" */

/** Milliseconds between two tries; the longest is that of a gateway that stays away. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
/** Milliseconds without a word after which a connection is taken for dead: what it tells comes every 2 s. */
const SILENCE = 15_000;

/** The latest moment; null before the first. */
export const now = signal(/** @type {Overview | null} */ (null));
export const history = signal(/** @type {History | null} */ (null));
/** Whether the numbers are live; else why not. */
export const standing = signal(/** @type {{kind: "connecting" | "live" | "away" | "refused", why?: string}} */ ({ kind: "connecting" }));

/** Begin, and go on for as long as the page is there. Nobody looks at a hidden page: it lets go. */
export function start() {
  let open = new AbortController();
  let again = () => {};
  const restart = () => {
    open.abort();
    again();
  };
  document.addEventListener("visibilitychange", restart);
  key.subscribe(restart);
  addEventListener("online", restart);
  const follow = async () => {
    for (let pause = FIRST_PAUSE; ; ) {
      if (document.hidden) {
        await new Promise((resolve) => (again = () => resolve(undefined)));
        continue;
      }
      open = new AbortController();
      try {
        await listen(open, () => (pause = FIRST_PAUSE));
        if (!open.signal.aborted) standing.value = { kind: "away" };
      } catch (error) {
        if (!open.signal.aborted || open.signal.reason === SILENCE) standing.value = toldOf(error);
      }
      if (open.signal.aborted && open.signal.reason !== SILENCE) continue;
      await new Promise((resolve) => {
        again = () => resolve(undefined);
        if (standing.value.kind !== "refused") setTimeout(again, pause); // a wrong key is not tried again: another is waited for
      });
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  };
  void follow();
}

/** @param {AbortController} open @param {() => void} heard */
async function listen(open, heard) {
  let silence = setTimeout(() => open.abort(SILENCE), SILENCE);
  try {
    for await (const { event, data } of events(await ask("/v1/overview/events", { signal: open.signal }))) {
      clearTimeout(silence);
      silence = setTimeout(() => open.abort(SILENCE), SILENCE);
      if (event !== "overview" || !data) continue;
      heard();
      take(JSON.parse(data));
    }
  } finally {
    clearTimeout(silence);
  }
}

/** @param {unknown} error */
function toldOf(error) {
  if (error instanceof ApiError && error.status === 401) return /** @type {const} */ ({ kind: "refused" });
  return { kind: /** @type {const} */ ("away"), why: error instanceof ApiError && error.status ? error.message : undefined };
}

/** @param {Overview} told */
function take(told) {
  now.value = told;
  standing.value = { kind: "live" };
  if (told.history) history.value = told.history;
  else if (told.history_tail && history.value) history.value = moved(history.value, told.history_tail);
}

/**
 * The hour that ends with the tail, of as many steps as before.
 * @param {History} before
 * @param {History} tail
 * @returns {History}
 */
export function moved(before, tail) {
  const { step } = before;
  const steps = Math.max(0, ...Object.values(before.models).map((series) => Math.max(...Object.values(series).map((each) => each.length))));
  const ends = tail.from + step * Math.max(0, ...Object.values(tail.models).flatMap((series) => Object.values(series).map((each) => each.length)));
  const from = steps ? ends - step * steps : tail.from;
  /** @type {Record<string, Series>} */
  const models = {};
  for (const model of new Set([...Object.keys(before.models), ...Object.keys(tail.models)])) {
    const [old, fresh] = [before.models[model] ?? {}, tail.models[model] ?? {}];
    models[model] = Object.fromEntries(
      [...new Set([...Object.keys(old), ...Object.keys(fresh)])].map((name) => [
        name,
        Array.from({ length: steps || (fresh[name]?.length ?? 0) }, (_, index) => {
          const at = from + step * index;
          return (at >= tail.from ? fresh[name]?.[(at - tail.from) / step] : old[name]?.[(at - before.from) / step]) ?? null;
        }),
      ]),
    );
  }
  return { step, from, models };
}
