/** What a screen reader is told of answers: that one has begun, and the whole of it when it has ended. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { t } from "../words/index.js";
import { answers } from "./answers.js";
import { shown } from "./state.js";

/** Letters that are read out: the rest can be read in the message. */
const MOST = 4000;

export function Announcer() {
  const last = shown.value[shown.value.length - 1];
  const runs = last !== undefined && answers.value.has(last.id);
  const [was, setWas] = useState("");
  const [text, setText] = useState("");
  useEffect(() => {
    if (runs) {
      setWas(last.id);
      setText(t("said.begun"));
    } else if (last && was === last.id) {
      setWas("");
      if (last.state === "failed") setText(t("failed", { message: last.error?.message ?? "" }));
      else setText(last.state === "done" ? t("said.ended", { text: last.content.slice(0, MOST) }) : t("said.stopped"));
    }
  }, [runs, last]);
  return html`<div class="unseen" role="status" aria-live="polite" id="said">${text}</div>`;
}
