/** Light or dark, which language, which key: the menu that both pages have. */

import { effect, html, signal } from "../vendor/preact.js";
import { key } from "../api/client.js";
import { LANGUAGES, language, speak, t } from "../words/index.js";
import { Icon } from "./icons.js";
import { keep, kept } from "./kept.js";
import { asksForKey } from "./key.js";
import { Menu } from "./menu.js";

const THEMES = /** @type {const} */ (["system", "light", "dark"]);
/** @typedef {typeof THEMES[number]} Theme */

const wanted = kept("inferq.theme");
export const theme = signal(THEMES.find((each) => each === wanted) ?? "system");

effect(() => {
  const { value } = theme;
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
});

/** @param {Theme} chosen */
function dress(chosen) {
  theme.value = chosen;
  keep("inferq.theme", chosen);
}

export function AppearanceMenu() {
  const items = () => [
    ...THEMES.map((each, index) => ({
      label: t(`theme.${each}`),
      group: index ? undefined : t("theme"),
      checked: theme.value === each,
      onSelect: () => dress(each),
    })),
    ...LANGUAGES.map((each, index) => ({
      label: t(`language.${each}`),
      group: index ? undefined : t("language"),
      checked: language.value === each,
      onSelect: () => speak(each),
    })),
    { label: t(key.value ? "key.change" : "key.enter"), group: t("key"), onSelect: () => (asksForKey.value = true) },
  ];
  return html`<${Menu} label=${t("menu")} items=${items} class="at-end"><${Icon} name="gear" /><//>`;
}
