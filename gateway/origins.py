"""Where a request comes from, on a gateway without keys: it serves whoever can reach it, but no web page of others.

Any page can have its visitors' browsers send requests to this machine: some without asking, a GET or a form, and with a
name of its own that leads here (DNS rebinding) all, whose answers it can even read. So a gateway without keys answers
only to names that are known to be its own, and only pages of its own and those that CORS lets in. A page has no key:
where one is needed, that is enough.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from werkzeug.exceptions import Forbidden

from gateway.cors import Origins
from shared.config import PREFIX, Config

_PORTS = {"http": "80", "https": "443"}


def says_browser(environ: Mapping[str, str]) -> bool:
    """Whether a request, by its WSGI environment, may be a page's: with each POST a browser tells where it is from."""
    return any(f"HTTP_{name}" in environ for name in ("ORIGIN", "SEC_FETCH_SITE", "REFERER"))


class Doorkeeper:
    """Turns away what the browser of a stranger's page has sent."""

    def __init__(self, config: Config) -> None:
        self._origins = Origins.parse(config.cors_origins)
        names = {_name(name.strip()) for name in config.allowed_hosts.split(",")}
        self._every_name = "*" in names
        self._names = names | {"localhost", config.host.lower()}

    def check(self, environ: Mapping[str, str]) -> None:
        """Raises Forbidden where a request, by its WSGI environment, does not come from where it may."""
        host = environ.get("HTTP_HOST", "")
        if not self._knows(host):
            raise Forbidden(
                f"This gateway has no keys, and is not called by this name: {PREFIX}ALLOWED_HOSTS lists its names,"
                " besides localhost and IP addresses."
            )
        if self._is_foreign(environ, host):
            raise Forbidden(f"Web pages of other origins may not use this gateway; {PREFIX}CORS_ORIGINS lets them in.")

    def _knows(self, host: str) -> bool:
        """No name is a name that no browser sends."""
        name = _name(host)
        return self._every_name or name in self._names or name.endswith(".localhost") or _is_address(name)

    def _is_foreign(self, environ: Mapping[str, str], host: str) -> bool:
        origin = environ.get("HTTP_ORIGIN") or _origin(environ.get("HTTP_REFERER", ""))
        if self._origins.allow(origin):
            return False
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site:  # the browser's own word, which no page can forge; `none` is its user's
            return site not in ("same-origin", "none")
        return bool(origin) and _place(origin) != _place("http://" + host)


def _name(host: str) -> str:
    """That of a header Host, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == ""
    return True


def _origin(url: str) -> str:
    """That of a page; empty where there is none."""
    return "/".join(url.split("/", 3)[:3])


def _place(origin: str) -> str:
    """Host and port; which scheme a proxy before us speaks is not known here. `null` has a place of its own."""
    scheme, _, place = origin.lower().partition("://")
    return place.removesuffix(":" + _PORTS[scheme]) if scheme in _PORTS else origin
