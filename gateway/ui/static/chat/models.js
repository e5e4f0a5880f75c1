/** The models that there are to chat with. */

import { ApiError, askJson, key } from "../api/client.js";
import { computed, signal } from "../vendor/preact.js";
import { current } from "./state.js";

/**
 * @typedef {object} Model  as `GET /v1/models` tells it
 * @property {string} id
 * @property {string} root
 * @property {{value: string}} status
 * @property {string | null} reason  why it has failed
 * @property {string | null} engine
 * @property {string | null} architecture
 * @property {string | null} quantisation
 * @property {string[]} capabilities
 * @property {number} slots
 * @property {Record<string, unknown>} sampling
 * @property {number | null} max_model_len
 * @property {{n_params: number | null, size: number | null}} meta
 *
 * @typedef {Model & {aliases: string[]}} ChatModel
 */

/** Milliseconds between two looks: more often while none is there. */
const LOOK = 30_000;
const SOON = 3000;

/** What the gateway has told last; null before that. */
const told = signal(/** @type {Model[] | null} */ (null));
/** Why it tells nothing. */
export const modelsTrouble = signal(/** @type {ApiError | null} */ (null));
/** Those that chat, each once; one of which nothing is known yet is among them. */
export const models = computed(() => {
  const all = told.value ?? [];
  const wanted = all.filter(({ id, root, capabilities }) => id === root && (!capabilities.length || capabilities.includes("chat")));
  return wanted.map((model) => ({ ...model, aliases: all.filter(({ id, root }) => root === model.id && id !== root).map(({ id }) => id) }));
});
export const known = computed(() => told.value !== null);
/** The one that the open conversation asks: its own, else the first that is ready, or that may be. */
export const chosen = computed(() => {
  const wanted = current.value.model;
  const own = models.value.find(({ id, aliases }) => id === wanted || aliases.includes(wanted));
  return own ?? models.value.find(isReady) ?? models.value.find(({ status }) => status.value !== "failed") ?? models.value[0];
});

/** @param {Model} model */
export function isReady(model) {
  return model.status.value === "loaded";
}

/** Ask again which there are. */
export async function refresh() {
  try {
    told.value = (await askJson("/v1/models")).data;
    modelsTrouble.value = null;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    modelsTrouble.value = error;
  }
}

/** Keep looking, while somebody looks at the page. */
export async function start() {
  key.subscribe(() => void refresh());
  document.addEventListener("visibilitychange", () => document.hidden || void refresh());
  const look = async () => {
    if (!document.hidden) await refresh();
    setTimeout(look, models.value.some(isReady) ? LOOK : SOON);
  };
  setTimeout(look, SOON);
}
