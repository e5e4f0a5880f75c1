/** The overview: what goes on now, the last hour, and what went wrong. */

import { html } from "../vendor/preact.js";
import { AppearanceMenu } from "../parts/appearance.js";
import { KeyDialog } from "../parts/key.js";
import { Notices } from "../parts/notices.js";
import { count, rough } from "../parts/numbers.js";
import { t } from "../words/index.js";
import { Charts } from "./charts.js";
import { Failures } from "./failures.js";
import { Jobs } from "./jobs.js";
import { Models, chosenOf } from "./models.js";
import { history, now, standing } from "./source.js";
import { Gateways, Workers } from "./workers.js";

/** @import { Overview } from "./types.js" */

export function Page() {
  const told = now.value;
  return html`<div class="overview">
    <a class="skip" href="#content">${t("skip")}</a>
    <header class="top">
      <a class="home" href="/" aria-label="inferq"><img src=${new URL("../style/icon.svg", import.meta.url).href} alt="" width="24" height="24" /> inferq</a>
      <nav aria-label=${t("pages")}><a href="/">${t("title.chat")}</a><a href="/overview" aria-current="page">${t("title.overview")}</a></nav>
      <span class="grow"></span>
      <${Live} />
      <${AppearanceMenu} />
    </header>
    <main id="content" tabindex="-1">
      <h1 class="unseen">${t("title.overview")}</h1>
      ${told ? html`<${Inside} told=${told} />` : html`<p class="nothing">${t(standing.value.kind === "refused" ? "key.needed" : "loading")}</p>`}
    </main>
    <${Notices} />
    <${KeyDialog} />
  </div>`;
}

function Live() {
  const { kind, why } = standing.value;
  return html`<p class=${`live ${kind}`} role="status"><span class=${`dot ${kind === "live" ? "ready" : ""}`}></span> <span>${t(`live.${kind}`)}${why && `: ${why}`}</span></p>`;
}

/** @param {{told: Overview}} props */
function Inside({ told }) {
  const model = chosenOf(told.models);
  return html`
    <${Sums} told=${told} />
    <${Section} id="models" title=${t("models")}>
      ${told.models.length ? html`<${Models} models=${told.models} />` : html`<p class="nothing">${t("models.none")}</p>`}
    <//>
    ${model && history.value && html`<${Section} id="hour" title=${t("hour", { model: model.id })}><${Charts} model=${model.id} history=${history.value} /><//>`}
    <${Section} id="jobs" title=${t("jobs")}><${Jobs} jobs=${told.jobs} admin=${told.admin} at=${told.at} /><//>
    ${told.admin && html`<${Section} id="workers" title=${t("workers")}><${Workers} workers=${told.workers} /><${Gateways} gateways=${told.gateways} /><//>`}
    <${Section} id="failures" title=${t("failures")}><${Failures} failures=${told.failures} admin=${told.admin} /><//>
    <footer class="foot">inferq ${told.version}${!told.admin && html` · ${t("own.only")}`} · <a href="/docs">${t("docs")}</a></footer>
  `;
}

/** @param {{id: string, title: string, children?: unknown}} props */
function Section({ id, title, children }) {
  return html`<section aria-labelledby=${`${id}-title`}><h2 id=${`${id}-title`}>${title}</h2>${children}</section>`;
}

/** @param {{told: Overview}} props  what one wants to know first */
function Sums({ told }) {
  /** @param {(model: Overview["models"][number]) => number} of */
  const sum = (of) => told.models.reduce((all, model) => all + of(model), 0);
  const waiting = sum(({ queued }) => queued.priority + queued.default + queued.flex);
  const sums = [
    [t("sum.busy"), t("of", { value: count(sum((model) => model.busy)), most: count(sum((model) => model.slots)) })],
    [t("sum.waiting"), count(waiting)],
    [t("sum.requests"), count(sum((model) => model.minute.requests))],
    [t("sum.tokens"), rough(sum((model) => model.minute.output_tokens) / 60)],
    [t("sum.failed"), count(sum((model) => model.minute.failed))],
  ];
  return html`<dl class="sums">${sums.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
