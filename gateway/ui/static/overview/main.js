/** The overview. */

import { effect, html, render } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { start } from "./source.js";
import { Page } from "./view.js";

effect(() => {
  document.title = `${t("title.overview")} - inferq`;
});
start();
render(html`<${Page} />`, /** @type {Element} */ (document.getElementById("root")));
