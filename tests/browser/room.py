"""The room `markdown/` of the page, asked for itself: texts in a place on the real page, under its real policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page

from tests.browser.conftest import Open
from tests.stack import Stack

_SETUP = """async () => {
  const base = document.querySelector('script[type=module]').src.replace('chat/main.js', '');
  const { Stream } = await import(base + 'markdown/stream.js');
  const place = document.createElement('div');
  place.id = 'tried';
  document.getElementById('root').style.display = 'none';  // the chat goes on behind it
  document.body.append(place);
  window.ran = 0;
  /** Shows a text that comes in pieces, whose ends are `cuts`; returns what stands there at once. */
  window.show = (text, cuts = [], plain = false) => {
    place.replaceChildren(Object.assign(document.createElement('div'), { className: 'markdown' }));
    const stream = window.stream = new Stream(place.firstChild, plain);
    for (const cut of cuts) {
      stream.write(text.slice(0, cut), false);
      stream.due = 0;
      stream.work();
    }
    stream.write(text, true);
    while (stream.frame) {
      stream.stop();
      stream.work();
    }
    return place.firstChild.innerHTML;
  };
  /** Once it is all there. */
  window.settled = async () => {
    const waiting = () => window.stream.frame || place.querySelector('.math:not(.set, .unset)');
    while (waiting()) await new Promise(requestAnimationFrame);
  };
  show('$x$');
  await settled();  // from now on formulas are set at once
}"""


class Room:
    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(_SETUP)
        self.place: Locator = page.locator("#tried")

    def show(self, text: str, cuts: list[int] | None = None, *, plain: bool = False) -> str:
        """The HTML of what stands there. `cuts` are the lengths after which a piece ended."""
        shown: str = self.page.evaluate("([text, cuts, plain]) => show(text, cuts, plain)", [text, cuts or [], plain])
        return shown

    def ask(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)


@contextmanager
def opened_room(open_page: Open, stack: Stack) -> Iterator[Room]:
    with open_page(stack.url) as page:
        yield Room(page)
