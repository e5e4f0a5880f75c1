/** The workers, and the gateways that are not well: for who looks after them. */

import { html } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { bytes, count, duration, rough } from "../parts/numbers.js";
import { Meter } from "./models.js";
import { Table } from "./table.js";

/** @import { GatewayNow, WorkerNow } from "./types.js" */

const NONE = "–";

/** @param {{workers: WorkerNow[]}} props */
export function Workers({ workers }) {
  if (!workers.length) return html`<p class="nothing">${t("workers.none")}</p>`;
  const columns = [
    { title: t("worker") },
    { title: t("model") },
    { title: t("state") },
    { title: t("slots.busy") },
    { title: t("load"), number: true },
    { title: t("threads"), number: true },
    { title: t("memory"), number: true },
    { title: t("context"), number: true },
    { title: t("uptime"), number: true },
  ];
  const rows = workers.map((worker) => ({
    key: worker.name,
    cells: [
      html`<span class="worker-name">${worker.host}:${worker.pid}</span>`,
      html`${worker.model}${worker.quantisation && html` <span class="quiet">${worker.quantisation}</span>`}`,
      html`<span class=${`dot ${worker.state === "ready" ? "ready" : ""}`}></span> ${t(`state.${worker.state}`)}
        ${worker.reason && html`<p class="reason">${worker.reason}</p>`}`,
      worker.slots ? html`<${Meter} value=${worker.busy} most=${worker.slots} />` : NONE,
      worker.load === null || worker.load === undefined ? NONE : t("cores", { count: rough(worker.load) }),
      worker.threads ? count(worker.threads) : NONE,
      worker.memory_bytes ? bytes(worker.memory_bytes) : NONE,
      worker.context ? count(worker.context) : NONE,
      duration(worker.uptime),
    ],
  }));
  return html`<${Table} label=${t("workers")} columns=${columns} rows=${rows} />`;
}

/** @param {{gateways: GatewayNow[]}} props  all of them; those that are well take one line */
export function Gateways({ gateways }) {
  const unwell = gateways.filter((gateway) => !gateway.ready);
  return html`<p class="nothing">${t("gateways.well", { count: count(gateways.length - unwell.length) })}</p>
    ${unwell.length > 0 && html`<ul class="unwell">${unwell.map(
      ({ host, pid, reason }) => html`<li key=${`${host}:${pid}`}><span class="dot"></span> ${host}:${pid}: ${reason}</li>`,
    )}</ul>`}`;
}
