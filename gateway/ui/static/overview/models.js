/** The models: a row each, and the one chosen whose hour is drawn. */

import { html, signal } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { count, duration, rough } from "../parts/numbers.js";
import { Table } from "./table.js";

/** @import { ModelNow, Quantiles } from "./types.js" */

const NONE = "–";
const chosen = signal("");

/**
 * The model whose hour is drawn: the one that was chosen, else the one that has the most to do.
 * @param {ModelNow[]} models
 */
export function chosenOf(models) {
  const busiest = [...models].sort((a, b) => b.running - a.running || b.minute.requests - a.minute.requests || b.workers - a.workers)[0];
  return models.find((model) => model.id === chosen.value) ?? busiest;
}

/** @param {{models: ModelNow[]}} props */
export function Models({ models }) {
  const shown = chosenOf(models)?.id;
  const columns = [
    { title: t("model") },
    { title: t("slots.busy") },
    { title: t("waiting"), number: true },
    { title: t("wait.next"), number: true },
    { title: t("requests.minute"), number: true },
    { title: t("first.token"), number: true },
    { title: t("speed"), number: true },
    { title: t("prefix.hits"), number: true },
  ];
  const rows = models.map((model) => ({
    key: model.id,
    class: model.id === shown ? "chosen" : "",
    cells: [
      html`<button type="button" class="row-button" aria-pressed=${model.id === shown} onClick=${() => (chosen.value = model.id)}>
        <span class=${`dot ${model.workers ? "ready" : ""}`}></span><span>${model.id}</span></button>
        ${model.unready_workers > 0 && html`<span class="tag warn">${t("workers.unready", { count: model.unready_workers })}</span>`}`,
      html`<${Meter} value=${model.busy} most=${model.slots} />`,
      html`<${Waiting} queued=${model.queued} />`,
      model.next_wait === null ? NONE : model.next_wait < 0.05 ? t("none") : duration(model.next_wait),
      html`${count(model.minute.requests)}${model.minute.failed > 0 && html` <span class="bad">${t("requests.failed.count", { count: count(model.minute.failed) })}</span>`}`,
      both(model.minute.first_token, duration),
      both(model.minute.tokens_per_second, rough),
      model.minute.prompt_tokens ? t("percent", { value: Math.round((100 * model.minute.cached_tokens) / model.minute.prompt_tokens) }) : NONE,
    ],
  }));
  return html`<${Table} label=${t("models")} columns=${columns} rows=${rows} />`;
}

/**
 * @param {Quantiles} quantiles
 * @param {(value: number) => string} say
 */
function both(quantiles, say) {
  return quantiles ? html`${say(quantiles.p50)} <span class="quiet">/ ${say(quantiles.p95)}</span>` : NONE;
}

/** @param {{value: number, most: number}} props */
export function Meter({ value, most }) {
  const said = t("of", { value: count(value), most: count(most) });
  return html`<span class="meter"><span class="meter-bar" aria-hidden="true">
    ${Array.from({ length: Math.min(most, 16) }, (_, index) => html`<span class=${index * Math.max(1, most / 16) < value ? "on" : ""}></span>`)}
  </span><span>${said}</span></span>`;
}

/** @param {{queued: ModelNow["queued"]}} props */
function Waiting({ queued }) {
  const all = queued.priority + queued.default + queued.flex;
  const parts = /** @type {const} */ (["priority", "flex"]).filter((tier) => queued[tier] > 0).map((tier) => `${count(queued[tier])} ${tier}`);
  return html`${count(all)}${parts.length > 0 && html` <span class="quiet">(${parts.join(", ")})</span>`}`;
}
