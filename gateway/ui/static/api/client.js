/** The public API, as any client calls it: one way to ask, one kind of error. */

import { signal } from "../vendor/preact.js";
import { keep, kept } from "../parts/kept.js";

/** The API key, where the gateway asks for one; kept by this browser. */
export const key = signal(kept("inferq.key") ?? "");
key.subscribe((value) => keep("inferq.key", value));

addEventListener("storage", (event) => {
  if (event.key === "inferq.key") key.value = event.newValue ?? ""; // another tab was told
});

/** Whether the gateway asks for a key: because it got `none`, or a `wrong` one. */
export const refused = signal(/** @type {"none" | "wrong" | null} */ (null));

/** What a gateway has said of a request that failed, or that it cannot be reached (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {{code?: string | null, param?: string | null, retryAfter?: number | null, lasting?: boolean}} [more]
   *   `retryAfter` in seconds; `lasting`: to ask again is in vain
   */
  constructor(status, message, { code = null, param = null, retryAfter = null, lasting = false } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
    this.lasting = lasting;
  }
}

/**
 * Ask the gateway. Throws ApiError for what it refuses, and for a gateway that is away.
 * @param {string} path  such as `/v1/models`
 * @param {{method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 */
export async function ask(path, { method, body, headers = {}, signal: until } = {}) {
  const sent = /** @type {Record<string, string>} */ ({ ...(key.value ? { Authorization: `Bearer ${key.value}` } : {}), ...headers });
  let response;
  try {
    response = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: body === undefined ? sent : { "Content-Type": "application/json", ...sent },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: until,
      cache: "no-store",
    });
  } catch (error) {
    if (until?.aborted) throw error;
    throw new ApiError(0, String(error));
  }
  if (response.ok) return response;
  if (response.status === 401) refused.value = sent.Authorization ? "wrong" : "none";
  const told = await response.json().catch(() => ({}));
  const { message = response.statusText, code, param } = told.error ?? {};
  const wait = Number(response.headers.get("Retry-After"));
  const lasting = response.headers.get("x-should-retry") === "false";
  throw new ApiError(response.status, message, { code, param, retryAfter: wait > 0 ? wait : null, lasting });
}

/**
 * The same, and its answer as an object.
 * @param {Parameters<typeof ask>} given
 */
export async function askJson(...given) {
  return (await ask(...given)).json();
}
