/** The chat. */

import { askJson, ask } from "../api/client.js";
import { events } from "../api/events.js";
import { Markdown } from "../markdown/markdown.js";
import { html, render, signal } from "../vendor/preact.js";
import { t } from "../words/index.js";

const answer = signal("");

/** @param {SubmitEvent} event */
async function send(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const content = String(new FormData(form).get("text"));
  const { data } = await askJson("/v1/models");
  const body = { model: data[0].id, messages: [{ role: "user", content }], stream: true };
  const job = await ask("/v1/chat/completions", { body, headers: { Prefer: "respond-async" } });
  const place = `${job.headers.get("Location")}/events`;
  answer.value = "";
  for await (const { data: told } of events(await ask(place, { headers: { "x-inferq-progress": "1" } }))) {
    if (told && told !== "[DONE]") answer.value += JSON.parse(told).choices[0]?.delta.content ?? "";
  }
}

function Chat() {
  return html`<main>
    <h1>${t("title.chat")}</h1>
    <div class="answer"><${Markdown} text=${answer.value} /></div>
    <form onSubmit=${send}>
      <label class="unseen" for="ask">${t("ask")}</label>
      <textarea id="ask" name="text" placeholder=${t("ask")}></textarea>
      <button>${t("send")}</button>
    </form>
  </main>`;
}

render(html`<${Chat} />`, /** @type {Element} */ (document.getElementById("root")));
