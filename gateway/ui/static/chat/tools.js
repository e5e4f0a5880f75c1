/** The tools that the model may call: functions, whose results are given by hand or prepared. */

import { html, useId, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { TOOLS } from "./examples.js";
import { JsonField } from "./json_field.js";
import { chosen } from "./models.js";
import { MOST_TOOLS, changed, toolName } from "./settings.js";
import { current, setSettings } from "./state.js";

/** @import { Settings, Tool } from "./types.js" */

/** @param {Partial<Settings>} patch */
const set = (patch) => setSettings(changed(current.value.settings, patch));

export function Tools() {
  const { id, settings } = current.value;
  const tools = settings.tools ?? [];
  const able = chosen.value === undefined || !chosen.value.capabilities.length || chosen.value.capabilities.includes("tools");
  /** @param {number} index @param {Tool | null} tool */
  const put = (index, tool) => {
    const now = [...(current.value.settings.tools ?? [])];
    now.splice(index, 1, ...(tool ? [tool] : []));
    const choice = current.value.settings.toolChoice ?? "";
    const named = !choice.startsWith("function:") || now.some(({ name }) => choice === `function:${name}`);
    return set({ tools: now.length ? now : undefined, toolChoice: now.length && named && choice ? choice : undefined });
  };
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const add = ({ currentTarget }) => {
    const example = TOOLS[Number(currentTarget.value)];
    const { name, description, parameters, stub: answer } = example ?? { name: "function", description: "", parameters: EMPTY, stub: "" };
    currentTarget.value = "";
    void set({ tools: [...tools, { name: free(name, tools), description, parameters, answer, automatic: false }] });
  };
  return html`<div class="fields">
    <p class="hint">${t("tools.hint")}</p>
    ${!able && tools.length > 0 && html`<p class="wrong">${t("tools.cannot")}</p>`}
    ${tools.map(
      (tool, index) =>
        html`<${ToolFields} key=${`${id} ${index} ${tools.length}`} tool=${tool} others=${tools.filter((each) => each !== tool)} open=${index === tools.length - 1}
          put=${(/** @type {Tool | null} */ now) => put(index, now)} />`,
    )}
    <select class="example" aria-label=${t("tool.add")} value="" disabled=${tools.length >= MOST_TOOLS} onChange=${add}>
      <option value="">${t("tool.add")} …</option>
      ${TOOLS.map(({ word }, index) => html`<option key=${word} value=${index}>${t(word)}</option>`)}
      <option value="blank">${t("tool.blank")}</option>
    </select>
    ${tools.length > 0 && html`<${Choice} tools=${tools} />`}
  </div>`;
}

const EMPTY = { type: "object", properties: {} };

/** A name that no tool has yet. @param {string} name @param {Tool[]} tools */
function free(name, tools) {
  let found = name;
  for (let count = 2; tools.some((tool) => tool.name === found); count++) found = `${name}_${count}`;
  return found;
}

/** @param {{tool: Tool, others: Tool[], open: boolean, put: (tool: Tool | null) => void}} props */
function ToolFields({ tool, others, open, put }) {
  const [name, setName] = useState(tool.name);
  const id = useId();
  const wrong = nameTrouble(name, others);
  /** @param {{currentTarget: HTMLInputElement}} event */
  const rename = ({ currentTarget }) => {
    setName(currentTarget.value);
    if (!nameTrouble(currentTarget.value, others)) put({ ...tool, name: currentTarget.value });
  };
  /** @param {"description" | "answer"} part */
  const write = (part) => (/** @type {{currentTarget: HTMLTextAreaElement}} */ { currentTarget }) => put({ ...tool, [part]: currentTarget.value });
  return html`<details class="tool-fields" open=${open}>
    <summary><code>${tool.name}</code></summary>
    <div class="field wide">
      <label for=${id}>${t("tool.name")}</label>
      <input id=${id} class="code" value=${name} spellcheck=${false} autocapitalize="off" autocomplete="off" onInput=${rename}
        aria-invalid=${Boolean(wrong)} aria-describedby=${`${id}-told`} />
      <p id=${`${id}-told`} class="wrong" role="status">${wrong && `${wrong} ${t("field.kept")}`}</p>
    </div>
    <div class="field wide">
      <label for=${`${id}-what`}>${t("tool.description")}</label>
      <textarea id=${`${id}-what`} rows="2" value=${tool.description ?? ""} onInput=${write("description")}></textarea>
    </div>
    <${JsonField} label=${t("tool.parameters")} value=${tool.parameters} rows=${8} change=${(/** @type {object | undefined} */ parameters) => put({ ...tool, parameters })} />
    <div class="field wide">
      <label for=${`${id}-answer`}>${t("tool.answer")}</label>
      <textarea id=${`${id}-answer`} class="code" rows="2" spellcheck=${false} value=${tool.answer ?? ""} onInput=${write("answer")}></textarea>
    </div>
    <label class="check">
      <input type="checkbox" checked=${Boolean(tool.automatic)} onChange=${() => put({ ...tool, automatic: !tool.automatic })} />
      <span>${t("tool.automatic")}</span>
    </label>
    <p class="actions"><button type="button" class="plain" onClick=${() => put(null)}>${t("tool.remove", { name: tool.name })}</button></p>
  </details>`;
}

/** @param {string} name @param {Tool[]} others */
function nameTrouble(name, others) {
  if (others.some((other) => other.name === name)) return t("tool.name.twice");
  try {
    toolName(name, "");
    return "";
  } catch {
    return t("tool.name.wrong");
  }
}

/** @param {{tools: Tool[]}} props */
function Choice({ tools }) {
  const { toolChoice = "auto", parallelToolCalls = true } = current.value.settings;
  const id = useId();
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const choose = ({ currentTarget: { value } }) => set({ toolChoice: value === "auto" ? undefined : value });
  return html`<div class="field wide">
      <label for=${id} title="tool_choice">${t("tool.choice")}</label>
      <select id=${id} aria-describedby=${`${id}-hint`} value=${toolChoice} onChange=${choose}>
        <option value="auto">${t("tool.choice.auto")}</option>
        <option value="required">${t("tool.choice.required")}</option>
        <option value="none">${t("tool.choice.none")}</option>
        ${tools.map(({ name }) => html`<option key=${name} value=${`function:${name}`}>${t("tool.choice.named", { name })}</option>`)}
      </select>
      <p class="hint" id=${`${id}-hint`}>${t("tool.choice.hint")}</p>
    </div>
    <label class="check">
      <input type="checkbox" checked=${parallelToolCalls} onChange=${() => set({ parallelToolCalls: parallelToolCalls ? false : undefined })} />
      <span title="parallel_tool_calls">${t("tool.parallel")}</span>
    </label>`;
}
