/** What the last hour of a model was like. */

import { html, useMemo } from "../vendor/preact.js";
import { count, duration, rough } from "../parts/numbers.js";
import { language, t } from "../words/index.js";
import { Chart } from "./chart.js";

/** @import { History } from "./types.js" */

/** @param {{model: string, history: History}} props */
export function Charts({ model, history }) {
  const series = history.models[model] ?? {};
  const steps = Math.max(0, ...Object.values(series).map((each) => each.length));
  const times = useMemo(() => Array.from({ length: steps }, (_, index) => history.from + history.step * index), [history.from, steps]);
  /** @param {string} name */
  const of = (name) => series[name] ?? times.map(() => null);
  const charts = useMemo(
    () => [
      {
        title: t("requests.minute"),
        say: count,
        lines: [
          { label: t("requests"), values: of("requests"), colour: /** @type {const} */ ("accent"), bars: true },
          { label: t("requests.failed"), values: of("failed"), colour: /** @type {const} */ ("bad"), bars: true },
        ],
      },
      {
        title: t("slots.and.queue"),
        say: rough,
        lines: [
          { label: t("busy"), values: of("busy"), colour: /** @type {const} */ ("accent") },
          { label: t("waiting"), values: of("queued"), colour: /** @type {const} */ ("bad") },
          { label: t("slots"), values: of("slots"), colour: /** @type {const} */ ("quiet"), dashed: true },
        ],
      },
      {
        title: t("first.token"),
        say: duration,
        lines: [
          { label: t("p50"), values: of("first_token_p50"), colour: /** @type {const} */ ("accent") },
          { label: t("p95"), values: of("first_token_p95"), colour: /** @type {const} */ ("quiet"), dashed: true },
        ],
      },
      {
        title: t("speed"),
        say: rough,
        lines: [
          { label: t("p50"), values: of("tokens_per_second_p50"), colour: /** @type {const} */ ("accent") },
          { label: t("p95"), values: of("tokens_per_second_p95"), colour: /** @type {const} */ ("quiet"), dashed: true },
        ],
      },
    ],
    [history, model, language.value],
  );
  return html`<div class="charts">${charts.map((chart) => html`<${Chart} key=${`${model} ${chart.title}`} times=${times} ...${chart} />`)}</div>`;
}
