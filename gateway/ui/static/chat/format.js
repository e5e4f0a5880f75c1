/** The form of the answer: text, JSON, or JSON of a schema. */

import { html } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { SCHEMAS } from "./examples.js";
import { JsonField } from "./json_field.js";
import { changed } from "./settings.js";
import { current, setSettings } from "./state.js";

/** @import { Settings } from "./types.js" */
/** @typedef {{type: string, json_schema?: {name?: string, schema?: object, strict?: boolean}}} Format */

/** @param {Settings} settings @returns {Format} */
export function formatOf(settings) {
  return /** @type {Format} */ (settings.responseFormat ?? { type: "text" });
}

export function FormatSettings() {
  const { id: conversation, settings } = current.value;
  const format = formatOf(settings);
  /** @param {Format} chosen */
  const choose = (chosen) => setSettings(changed(current.value.settings, { responseFormat: chosen.type === "text" ? undefined : chosen }));
  const first = SCHEMAS[0]?.schema ?? {};
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const chooseType = ({ currentTarget: { value } }) => choose(value === "json_schema" ? ofSchema(first) : { type: value });
  return html`<div class="fields">
    <select aria-label=${t("format")} value=${format.type} onChange=${chooseType}>
      <option value="text">${t("format.text")}</option>
      <option value="json_object">${t("format.json")}</option>
      <option value="json_schema">${t("format.schema")}</option>
    </select>
    ${format.type !== "text" && html`<p class="hint">${t("format.hint")}</p>`}
    ${format.type === "json_schema" && html`<${SchemaFields} key=${conversation} format=${format} choose=${choose} />`}
  </div>`;
}

/** @param {object} schema @param {boolean} [strict] @returns {Format} */
function ofSchema(schema, strict = true) {
  return { type: "json_schema", json_schema: { name: "answer", schema, strict } };
}

/** @param {{format: Format, choose: (format: Format) => void}} props */
function SchemaFields({ format, choose }) {
  const { schema, strict = false } = format.json_schema ?? {};
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const take = ({ currentTarget }) => {
    const example = SCHEMAS[Number(currentTarget.value)];
    if (example) choose(ofSchema(example.schema, strict));
    currentTarget.value = "";
  };
  return html`<select class="example" aria-label=${t("example")} value="" onChange=${take}>
      <option value="">${t("example.choose")}</option>
      ${SCHEMAS.map(({ name }, index) => html`<option key=${name} value=${index}>${t(name)}</option>`)}
    </select>
    <${JsonField} label=${t("format.schema.label")} value=${schema} rows=${12} change=${(/** @type {object | undefined} */ value) => choose(ofSchema(value ?? {}, strict))} />
    <label class="check">
      <input type="checkbox" checked=${strict} onChange=${() => choose(ofSchema(schema ?? {}, !strict))} />
      <span>${t("format.strict")}</span>
    </label>`;
}
