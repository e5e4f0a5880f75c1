/** What failed lately, and why. */

import { html } from "../vendor/preact.js";
import { locale } from "../parts/numbers.js";
import { t } from "../words/index.js";
import { Table } from "./table.js";

/** @import { FailureTold } from "./types.js" */

/** @param {{failures: FailureTold[], admin: boolean}} props */
export function Failures({ failures, admin }) {
  if (!failures.length) return html`<p class="nothing">${t("failures.none")}</p>`;
  const time = new Intl.DateTimeFormat(locale(), { dateStyle: "short", timeStyle: "medium" });
  const columns = [{ title: t("when") }, { title: t("model") }, ...(admin ? [{ title: t("owner") }] : []), { title: t("code") }, { title: t("why") }];
  const rows = failures.map(({ at, job, model, owner, code, message }) => ({
    key: `${job} ${at}`,
    cells: [
      html`<time datetime=${new Date(1000 * at).toISOString()} title=${job}>${time.format(1000 * at)}</time>`,
      model,
      ...(admin ? [owner ?? "–"] : []),
      html`<code>${code}</code>`,
      html`<span class="message">${message}</span>`,
    ],
  }));
  return html`<${Table} label=${t("failures")} columns=${columns} rows=${rows} />`;
}
