/** What is shown before anything was said. */

import { ask } from "../api/client.js";
import { html, signal, useEffect } from "../vendor/preact.js";
import { CopyButton } from "../parts/buttons.js";
import { t } from "../words/index.js";
import { send } from "./answers.js";
import { chosen } from "./models.js";

const STARTERS = /** @type {const} */ (["welcome.first", "welcome.second", "welcome.third"]);
/** Where programs ask, as the gateway itself says: it may stand behind another name. */
const base = signal(`${location.origin}/v1`);

async function look() {
  const told = await ask("/", { headers: { Accept: "application/json" } }).then((response) => response.json());
  if (told.base_url) base.value = told.base_url;
}

export function Welcome() {
  useEffect(() => void look().catch(() => {}), []); // of a gateway that is away or asks for a key: the guess stands
  const model = chosen.value?.id;
  return html`<div class="scroller"><div class="welcome">
    <h2>${t("welcome")}</h2>
    <p class="quiet">${model ? t("welcome.model", { model }) : ""}</p>
    <ul class="starters">
      ${STARTERS.map((word) => html`<li key=${word}><button type="button" disabled=${!model} onClick=${() => void send(t(word))}>${t(word)}</button></li>`)}
    </ul>
    <h3>${t("welcome.programs")}</h3>
    <p class="base"><span class="quiet">${t("welcome.base")}</span> <code>${base.value}</code> <${CopyButton} text=${() => base.value} /></p>
    <p><a href="/docs">${t("welcome.docs")}</a></p>
  </div></div>`;
}
