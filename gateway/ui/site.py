"""The files of the page, as they are sent: all that the wheel holds of them, read once. Pure, but for the reading."""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
"""Files of other kinds, such as declarations of types, are not sent."""
_EDITION = "EDITION"
"""Stands for the edition in pages."""
_MAIN = re.compile(rb' *<script type="module" src="/ui/EDITION/([^"]+)"></script>\n')
_IMPORT = re.compile(rb'^(?:import|export)\b[^;"]*"(\.[^"]+)";', re.M)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
"""The Content-Security-Policy: nothing runs that does not lie here, whatever a model writes."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file."""

    kind: str
    """Its media type."""
    blob: bytes
    packed: bytes
    """The same by gzip."""
    mark: str
    """By which a browser knows that it has it."""

    @classmethod
    def of(cls, kind: str, blob: bytes) -> Asset:
        return cls(kind, blob, gzip.compress(blob, mtime=0), hashlib.sha256(blob).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Site:
    """All files of one edition."""

    edition: str
    """A digest of them all, which stands in their paths: what has one may be kept for ever."""
    assets: dict[str, Asset]
    """By their paths, such as `chat/main.js`."""
    pages: dict[str, Asset]
    """By their names: `index`, `overview`."""

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Site:
        found = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _KINDS and path.is_file()
        }
        digest = hashlib.sha256()
        for name, blob in found.items():
            digest.update(b"%s\0%d\0%b" % (name.encode(), len(blob), blob))
        edition = digest.hexdigest()[:12]
        assets, pages = dict[str, Asset](), dict[str, Asset]()
        for name, blob in found.items():
            stem, _, ending = name.rpartition(".")
            if ending == "html":
                told = _MAIN.sub(lambda main: _hints(main[1].decode(), found) + main[0], blob)
                pages[stem] = Asset.of(_KINDS[".html"], told.replace(_EDITION.encode(), edition.encode()))
            else:
                assets[name] = Asset.of(_KINDS[f".{ending}"], blob)
        return cls(edition, assets, pages)


def _hints(main: str, files: dict[str, bytes]) -> bytes:
    """All that a module imports, for a browser to ask for at once, not for each when it has read the one before."""
    needed = [main]
    for name in needed:
        for match in _IMPORT.finditer(files[name]):
            found = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1].decode()))
            if found not in needed:
                needed.append(found)
    return b"".join(b'<link rel="modulepreload" href="/ui/EDITION/%b">\n' % name.encode() for name in needed[1:])
