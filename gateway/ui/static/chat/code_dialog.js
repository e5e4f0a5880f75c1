/** "View as code": a request of the chat for curl and for the Python client. */

import { key } from "../api/client.js";
import { CopyButton } from "../parts/buttons.js";
import { Dialog } from "../parts/dialog.js";
import { html, signal, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { curl, python } from "./code.js";
import { chosen } from "./models.js";
import { body } from "./request.js";
import { current, shown } from "./state.js";
import { pathTo } from "./tree.js";

/** @import { Message } from "./types.js" */

const LANGUAGES = { curl: { name: "curl", write: curl }, python: { name: "Python", write: python } };

const asked = signal(/** @type {{answer: Message | undefined} | null} */ (null));

/**
 * Show the request of an answer, the last one where none is named; before the first, what would be asked.
 * @param {Message} [answer]
 */
export function showCode(answer = shown.value.findLast(({ role }) => role === "assistant")) {
  asked.value = { answer };
}

/** @param {Message | undefined} answer */
function requestOf(answer) {
  const model = answer?.model || chosen.value?.id || current.value.model;
  if (answer) return body({ model, settings: answer.settings ?? current.value.settings }, pathTo(current.value, answer.parent));
  const { messages, ...rest } = body({ model, settings: current.value.settings }, []);
  return { ...rest, messages: [...messages, { role: "user", content: "Hello!" }] };
}

export function CodeDialog() {
  const [language, setLanguage] = useState(/** @type {keyof typeof LANGUAGES} */ ("curl"));
  if (!asked.value) return null;
  const { answer } = asked.value;
  const keyed = Boolean(key.value);
  const text = LANGUAGES[language].write({ origin: location.origin, body: requestOf(answer), keyed });
  return html`<${Dialog} title=${t("code.view")} class="code-dialog" onClose=${() => (asked.value = null)}>
    <div class="code-head">
      <div class="tabs" role="group" aria-label=${t("code.view")}>
        ${Object.entries(LANGUAGES).map(
          ([id, { name }]) =>
            html`<button key=${id} type="button" aria-pressed=${id === language} onClick=${() => setLanguage(/** @type {keyof typeof LANGUAGES} */ (id))}>${name}</button>`,
        )}
      </div>
      <${CopyButton} key=${language} text=${() => text} />
    </div>
    <pre class="source" tabindex="0"><code>${text}</code></pre>
    <p class="hint">${t(answer ? "code.hint" : "code.hint.next")} ${language === "python" && t("code.install")} ${keyed && t("code.key")}</p>
  <//>`;
}
