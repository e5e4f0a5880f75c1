/** The other tabs of this browser: they have the same conversations. */

/** @import { Told } from "./types.js" */

const channel = "BroadcastChannel" in window ? new BroadcastChannel("inferq.chat") : null;

/** @param {Told} told */
export function tell(told) {
  channel?.postMessage(told);
}

/** @param {(told: Told) => void} take */
export function listen(take) {
  channel?.addEventListener("message", ({ data }) => take(data));
}

/**
 * Do something in one tab alone: the others wait until it is done there, or that tab is closed.
 *
 * A page that came over plain HTTP from another machine has no locks. There each tab does it by itself, which for an
 * answer is the same: it comes from the gateway twice, with the same events, and is kept under one name.
 * @param {string} name
 * @param {() => Promise<void>} work
 */
export async function alone(name, work) {
  if (navigator.locks) await navigator.locks.request(`inferq.${name}`, work);
  else await work();
}
