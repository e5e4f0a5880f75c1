/** How an answer stands while it comes, and what it was like when it has ended. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { count, duration, rough } from "../parts/numbers.js";
import { isReady, models, refresh } from "./models.js";

/** @import { Message, Phase } from "./types.js" */

/** Milliseconds between two looks whether the model of a waiting answer is there. */
const LOOK = 2000;

/** @param {{phase: Phase, model?: string}} props */
export function Standing({ phase, model }) {
  const until = "until" in phase ? phase.until : 0;
  const left = useCountdown(until);
  useEffect(() => {
    if (phase.kind !== "queued") return;
    const look = setInterval(() => void refresh(), LOOK);
    void refresh();
    return () => clearInterval(look);
  }, [phase.kind]);
  const asked = models.value.find(({ id }) => id === model);
  return html`<p class=${`standing ${phase.kind}`}>
    <span class="pulse"></span>
    <span>${phase.kind === "queued" && asked && !isReady(asked) ? t("phase.loading", { model: asked.id, position: phase.position }) : told(phase, left)}</span>
    ${phase.kind === "prompt" && html`<progress value=${phase.done} max=${phase.total} aria-hidden="true"></progress>`}
  </p>`;
}

/** @param {Phase} phase @param {number} left */
function told(phase, left) {
  switch (phase.kind) {
    case "queued":
      return phase.wait === null
        ? t("phase.queued", { position: phase.position })
        : t("phase.queued.wait", { position: phase.position, wait: duration(phase.wait) });
    case "prompt":
      return t("phase.prompt", { done: count(phase.done), total: count(phase.total) });
    case "writing":
      return phase.speed === null ? t("phase.writing") : t("phase.writing.speed", { speed: rough(phase.speed) });
    case "reconnecting":
      return left > 1 ? t("phase.reconnecting.in", { wait: duration(left) }) : t("phase.reconnecting");
    case "full":
      return t("phase.full", { message: phase.message, wait: duration(left) });
    default:
      return t(`phase.${phase.kind}`);
  }
}

/**
 * Whole seconds that are left, as they pass.
 * @param {number} until  a Unix time in milliseconds; 0: nothing is counted
 */
function useCountdown(until) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!until) return;
    setNow(Date.now());
    const tick = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(tick);
  }, [until]);
  return Math.max(0, Math.ceil((until - now) / 1000));
}

/** @param {{message: Message}} props */
export function Outcome({ message }) {
  if (message.role !== "assistant") return null;
  const { state, error, finish } = message;
  const numbers = measured(message);
  return html`
    ${state === "stopped" && html`<p class="ended">${t("ended.stopped")}</p>`}
    ${state === "done" && finish === "length" && html`<p class="ended">${t("ended.length")}</p>`}
    ${state === "failed" && error && html`<p class="ended bad" role="alert">
      ${error.code === "job_not_found" ? t("failed.gone") : t("failed", { message: error.message })}</p>`}
    ${numbers.length > 0 && html`<p class="numbers">${numbers.join(" · ")}</p>`}
  `;
}

/** @param {Message} message */
function measured({ usage, timings }) {
  if (!usage) return [];
  const { prompt_tokens: prompt, completion_tokens: tokens } = usage;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const told = [t("numbers.tokens", { count: count(tokens) })];
  if (timings?.first && timings.last && tokens > 1 && timings.last > timings.first) {
    told.push(t("numbers.speed", { speed: rough((1000 * (tokens - 1)) / (timings.last - timings.first)) }));
  }
  if (timings?.first) told.push(t("numbers.first", { seconds: duration((timings.first - timings.sent) / 1000) }));
  told.push(cached ? t("numbers.cached", { cached: count(cached), prompt: count(prompt) }) : t("numbers.prompt", { prompt: count(prompt) }));
  return told;
}
