/** How the answer is sampled: a field for each parameter, with the model's own value in grey. */

import { IconButton } from "../parts/buttons.js";
import { computed, html, useEffect, useId, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { chosen } from "./models.js";
import { PARAMETERS, fallback, read, show } from "./parameters.js";
import { EFFORTS, changed } from "./settings.js";
import { current, setSettings, shown } from "./state.js";

/** @import { Settings } from "./types.js" */
/** @import { Parameter } from "./parameters.js" */
/** @import { Word } from "../words/index.js" */

/** Why the gateway has refused the last request, in its words: they name the parameter. */
const refusal = computed(() => {
  const last = shown.value[shown.value.length - 1];
  return last?.error?.status === 400 ? { id: last.id, message: last.error.message } : null;
});

/** @param {string} name */
const word = (name) => /** @type {Word} */ (name === "stop" ? "stop_texts" : name);
/** @param {string} name @param {string} part */
const about = (name, part) => t(/** @type {Word} */ (`${word(name)}.${part}`));

/** The parameters that a conversation sets. @param {Settings} settings */
export function chosenNames(settings) {
  return [...PARAMETERS.map(({ name }) => name), "reasoning_effort"].filter((name) => name in settings);
}

export function Sampling() {
  const { id, settings } = current.value;
  const names = chosenNames(settings);
  const reset = () => setSettings(changed(settings, Object.fromEntries(names.map((name) => [name, undefined]))));
  const thinks = chosen.value?.capabilities.includes("reasoning") ?? false;
  return html`<div class="fields">
    <p class="hint">${t("sampling.hint")}</p>
    ${PARAMETERS.map((parameter) => html`<${Field} key=${`${id} ${parameter.name}`} parameter=${parameter} />`)}
    ${(thinks || settings.reasoning_effort) && html`<${Effort} />`}
    <p class="actions"><button type="button" disabled=${!names.length} onClick=${reset}>${t("reset.all")}</button></p>
  </div>`;
}

/** @param {{parameter: Parameter}} props */
function Field({ parameter }) {
  const { name, kind } = parameter;
  const { settings } = current.value;
  const value = /** @type {Record<string, unknown>} */ (settings)[name];
  const [draft, setDraft] = useState(show(value));
  const [seen, setSeen] = useState("");
  const id = useId();
  useEffect(() => {
    if (show(read(parameter, draft).value) !== show(value)) setDraft(show(value)); // it was reset
  }, [show(value)]);
  /** @param {string} text */
  const type = (text) => {
    setDraft(text);
    setSeen(refusal.value?.id ?? "");
    const said = read(parameter, text);
    if (!said.wrong) void setSettings(changed(current.value.settings, { [name]: said.value }));
  };
  const { wrong } = read(parameter, draft);
  const refused = refusal.value && refusal.value.id !== seen && refusal.value.message.includes(`'${name}'`) ? refusal.value.message : "";
  const told = wrong ? `${wrong} ${t("field.kept")}` : refused;
  const usual = fallback(parameter, /** @type {Record<string, number> | undefined} */ (chosen.value?.sampling)) || about(name, "usual");
  const common = {
    id,
    class: value === undefined ? "" : "set",
    value: draft,
    placeholder: usual,
    "aria-invalid": Boolean(told),
    "aria-describedby": `${id}-hint ${id}-told`,
    onInput: (/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => type(currentTarget.value),
  };
  return html`<div class=${kind === "texts" ? "field wide" : "field"}>
    <label for=${id} title=${name}>${t(word(name))}</label>
    <div class="field-value">
      ${kind === "texts"
        ? html`<textarea ...${common} class=${`code ${common.class}`} rows="2" spellcheck=${false}></textarea>`
        : html`<input ...${common} inputmode=${kind === "integer" && parameter.low >= 0 ? "numeric" : "text"} autocomplete="off" />`}
      <${IconButton} icon="close" label=${t("reset", { name: t(word(name)) })} disabled=${!draft} onClick=${() => type("")} />
    </div>
    <p id=${`${id}-hint`} class="hint">${about(name, "hint")}</p>
    <p id=${`${id}-told`} class="wrong" role="status">${told}</p>
  </div>`;
}

function Effort() {
  const { settings } = current.value;
  const id = useId();
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const choose = ({ currentTarget }) => setSettings(changed(settings, { reasoning_effort: currentTarget.value || undefined }));
  return html`<div class="field wide">
    <label for=${id} title="reasoning_effort">${t("effort")}</label>
    <select id=${id} value=${settings.reasoning_effort ?? ""} onChange=${choose}>
      <option value="">${t("effort.usual")}</option>
      ${EFFORTS.map((effort) => html`<option key=${effort} value=${effort}>${about("effort", effort)}</option>`)}
    </select>
  </div>`;
}
