/** What was said, from the first message to the last. It scrolls along while its reader is at the end. */

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { Icon } from "../parts/icons.js";
import { t } from "../words/index.js";
import { MessageView } from "./message.js";
import { current, shown } from "./state.js";
import { families } from "./tree.js";

/** Pixels from the end at which a reader is at it. */
const NEAR = 48;

export function Messages() {
  const scroller = useRef(/** @type {HTMLDivElement | null} */ (null));
  const inside = useRef(/** @type {HTMLDivElement | null} */ (null));
  const stuck = useRef(true);
  const before = useRef(0);
  const [away, setAway] = useState(false);
  const path = shown.value;
  const known = families(current.value);

  const jump = () => {
    const { current: place } = scroller;
    if (place) place.scrollTop = place.scrollHeight;
    stuck.current = true;
    setAway(false);
  };
  const look = () => {
    const { current: place } = scroller;
    if (!place) return;
    // What grows beneath its reader, such as JSON that is set in lines at its end, is no scrolling: only who goes up lets go.
    if (place.scrollHeight - place.scrollTop - place.clientHeight < NEAR) stuck.current = true;
    else if (place.scrollTop < before.current) stuck.current = false;
    before.current = place.scrollTop;
    setAway(!stuck.current);
  };
  useEffect(() => {
    const watch = new ResizeObserver(() => stuck.current && jump());
    if (inside.current) watch.observe(inside.current);
    if (scroller.current) watch.observe(scroller.current);
    return () => watch.disconnect();
  }, []);
  useEffect(jump, [path[path.length - 1]?.id]);

  return html`<div class="scroller" ref=${scroller} onScroll=${look} tabindex="0" role="region" aria-label=${t("conversation")}>
      <div class="messages" ref=${inside}>
        ${path.map((message) => {
          const family = known.get(message.parent) ?? [];
          return html`<${MessageView} key=${message.id} message=${message} index=${family.indexOf(message)} count=${family.length} />`;
        })}
      </div>
    </div>
    <div class="above"><button type="button" class="jump" hidden=${!away} onClick=${jump}><${Icon} name="down" /> ${t("latest")}</button></div>`;
}
