"""The page's files, as a gateway sends them: small, kept by browsers, and nothing beside them runs."""

from __future__ import annotations

import gzip
import re

import httpx2 as httpx
import pytest

from gateway.ui.site import FOLDER, Site
from tests.stack import Stack, running

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def loaded(http: httpx.Client, place: str) -> dict[str, int]:
    """All that a browser fetches before it shows a page, by the bytes that come over the wire."""
    found = {place: (answer := http.get(place, headers=BROWSER))}
    open_places = re.findall(r'(?:src|href)="(/ui/[^"]+)"', answer.text)
    while open_places:
        where = open_places.pop()
        if where not in found:
            found[where] = http.get(where)
            assert found[where].status_code == 200, where
            if where.endswith(".js"):
                modules = re.findall(r'^(?:import|export)\b[^"\']*["\'](\.{1,2}/[^"\']+)', found[where].text, re.M)
                open_places += [str(httpx.URL(where).join(module)) for module in modules]
    return {
        where: len(answer.content)
        if "gzip" not in answer.headers.get("Content-Encoding", "")
        else int(answer.headers["Content-Length"])
        for where, answer in found.items()
    }


@pytest.mark.parametrize("place", ["/", "/overview"])
def test_the_first_load_is_small(stack: Stack, place: str) -> None:
    found = loaded(stack.http(), place)
    assert len(found) > 5
    assert sum(found.values()) < 250_000, found


@pytest.mark.parametrize("place", ["/", "/overview"])
def test_nothing_runs_but_what_lies_here(stack: Stack, place: str) -> None:
    answer = stack.http().get(place, headers=BROWSER)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["require-trusted-types-for"]) == ("'none'", "'script'")
    assert not re.search(r"<script(?![^>]* src=)|<style|\bon\w+=|\bstyle=|https?://", answer.text)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_a_browser_has_it_keeps(stack: Stack) -> None:
    http = stack.http()
    edition = Site.read().edition
    answer = http.get(f"/ui/{edition}/vendor/preact.js")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.content == (FOLDER / "vendor" / "preact.js").read_bytes()
    page = http.get("/", headers=BROWSER)
    assert page.headers["Cache-Control"] == "no-cache"
    assert http.get("/", headers=BROWSER | {"If-None-Match": page.headers["ETag"]}).status_code == 304


def test_it_comes_small_to_who_can_read_that_and_whole_to_who_cannot(stack: Stack) -> None:
    place = f"{stack.url}/ui/{Site.read().edition}/vendor/marked.js"
    whole = (FOLDER / "vendor" / "marked.js").read_bytes()
    with httpx.stream("GET", place, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed) == whole
    for accepted in ("identity", "br", "gzip;q=0"):
        with httpx.stream("GET", place, headers={"Accept-Encoding": accepted}) as answer:
            assert "Content-Encoding" not in answer.headers
            assert b"".join(answer.iter_raw()) == whole


def test_another_edition_of_the_page_gets_what_there_is_and_keeps_it_not(stack: Stack) -> None:
    """As while gateways are brought to another release, one after another, behind one name."""
    answer = stack.http().get("/ui/0123456789ab/vendor/preact.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["none.js", "../site.py", "..%2fsite.py", "vendor/preact.d.ts", "index.html", "vendor", "%00"]
)
def test_there_are_no_other_files(stack: Stack, name: str) -> None:
    answer = stack.http().get(f"/ui/{Site.read().edition}/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_strangers_get_the_page_and_nothing_that_it_asks_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("ui"), api_keys="me:sk-somebody-0123456789") as keyed:
        keyed.start_gateway()
        http = keyed.http()
        assert all(loaded(http, place) for place in ("/", "/overview"))
        assert http.get("/v1/models").status_code == 401
