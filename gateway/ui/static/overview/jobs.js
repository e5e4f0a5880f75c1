/** The jobs that run and wait, and a way to cancel each. */

import { ApiError, ask } from "../api/client.js";
import { html, signal } from "../vendor/preact.js";
import { notify } from "../parts/notices.js";
import { count, duration, rough } from "../parts/numbers.js";
import { t } from "../words/index.js";
import { Table } from "./table.js";

/** @import { JobNow, Overview } from "./types.js" */

const NONE = "–";
/** Those that somebody here has cancelled, until they are gone. */
const leaving = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @param {JobNow} job */
async function cancel({ id }) {
  leaving.value = new Set([...leaving.value, id]);
  try {
    await ask(`/v1/jobs/${id}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status !== 404) notify(t("cancel.failed", { message: error.message }));
    leaving.value = new Set([...leaving.value].filter((each) => each !== id));
  }
}

/** @param {{jobs: Overview["jobs"], admin: boolean, at: number}} props */
export function Jobs({ jobs, admin, at }) {
  const { running, queued, more_running: moreRunning, more_queued: moreQueued } = jobs;
  if (!running.length && !queued.length) return html`<p class="nothing">${t("jobs.none")}</p>`;
  const columns = [
    { title: t("job") },
    { title: t("model") },
    ...(admin ? [{ title: t("owner") }] : []),
    { title: t("tier") },
    { title: t("state") },
    { title: t("age"), number: true },
    { title: t("tokens"), number: true },
    { title: t("speed"), number: true },
    { title: html`<span class="unseen">${t("cancel")}</span>` },
  ];
  const rows = [...running, ...queued].map((job) => ({
    key: job.id,
    cells: [
      html`<code class="job-id" title=${job.id}>${short(job.id)}</code>`,
      job.model,
      ...(admin ? [job.owner ?? NONE] : []),
      job.tier,
      job.position === null ? t("job.running") : t("job.queued", { position: count(job.position) }),
      duration(Math.max(0, at - job.created)),
      count(job.tokens),
      job.started && job.tokens > 1 && at > job.started ? rough(job.tokens / (at - job.started)) : NONE,
      html`<button type="button" class="plain small" disabled=${leaving.value.has(job.id)} aria-label=${t("cancel.job", { job: short(job.id) })}
        onClick=${() => cancel(job)}>${t(leaving.value.has(job.id) ? "cancelling" : "cancel")}</button>`,
    ],
  }));
  const more = moreRunning + moreQueued;
  return html`<${Table} label=${t("jobs")} columns=${columns} rows=${rows} />
    ${more > 0 && html`<p class="nothing">${t("jobs.more", { count: count(more) })}</p>`}`;
}

/** @param {string} id */
function short(id) {
  const dash = id.search(/[-_]/);
  return id.length > dash + 11 ? `${id.slice(0, dash + 9)}…` : id;
}
