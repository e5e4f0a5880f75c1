/** Which model is asked. */

import { html } from "../vendor/preact.js";
import { asksForKey } from "../parts/key.js";
import { Icon } from "../parts/icons.js";
import { Menu } from "../parts/menu.js";
import { t } from "../words/index.js";
import { chosen, isReady, known, models, modelsTrouble, refresh } from "./models.js";
import { bytes, count, parameters } from "../parts/numbers.js";
import { change } from "./state.js";

/** @import { ChatModel } from "./models.js" */

export function ModelPicker() {
  const { value: model } = chosen;
  if (!model) {
    const status = modelsTrouble.value?.status;
    if (status === 401) {
      return html`<button type="button" class="menu-button" onClick=${() => (asksForKey.value = true)}><${Icon} name="key" /> ${t("key.enter")}</button>`;
    }
    return html`<p class="quiet picker-none">${t(modelsTrouble.value ? "model.unreachable" : known.value ? "model.none" : "model.seeking")}</p>`;
  }
  const items = () => models.value.map((each) => ({ content: describe(each), checked: each.id === model.id, onSelect: () => void change({ model: each.id }) }));
  return html`<${Menu} label=${t("model.pick", { model: model.id })} items=${items} class="picker" onOpen=${() => void refresh()}>
    <span class=${`dot ${isReady(model) ? "ready" : ""}`}></span><span class="name">${model.id}</span><${Icon} name="open" />
  <//>`;
}

/** @param {ChatModel} model */
function describe(model) {
  const { capabilities, quantisation, max_model_len: context, meta, status, aliases, reason } = model;
  const told = [
    meta.n_params && parameters(meta.n_params),
    quantisation,
    meta.size && bytes(meta.size),
    context && t("model.context", { count: count(context) }),
    aliases.length && t("model.aliases", { names: aliases.join(", ") }),
    reason,
  ].filter(Boolean);
  const can = /** @type {const} */ (["tools", "reasoning"]).filter((ability) => capabilities.includes(ability));
  const state = /** @type {const} */ (["loaded", "loading", "failed"]).find((each) => each === status.value) ?? "unloaded";
  return html`<span class="model">
    <span class="model-name"><span class=${`dot ${isReady(model) ? "ready" : ""}`}></span>${model.id}
      <span class="tag">${t(`model.${state}`)}</span>
      ${can.map((ability) => html`<span class="tag" key=${ability}>${t(`ability.${ability}`)}</span>`)}
    </span>
    <span class="quiet">${told.join(" · ")}</span>
  </span>`;
}
