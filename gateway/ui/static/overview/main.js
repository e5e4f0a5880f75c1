/** The overview. */

import { html, render } from "../vendor/preact.js";
import { t } from "../words/index.js";

render(html`<main><h1>${t("title.overview")}</h1></main>`, /** @type {Element} */ (document.getElementById("root")));
