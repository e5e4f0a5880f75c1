"""Pages for people that need nothing else, nor a script."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str) -> str:
    """The Content-Security-Policy of a page that has this style, and nothing else that a browser loads or runs."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
