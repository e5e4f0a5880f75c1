/** The chat. */

import { html, render } from "../vendor/preact.js";
import { start as startAnswers } from "./answers.js";
import { start as startModels } from "./models.js";
import { start } from "./state.js";
import { Chat } from "./view.js";

const ready = start();
void startModels();
await ready;
await startAnswers();
render(html`<${Chat} />`, /** @type {Element} */ (document.getElementById("root")));
