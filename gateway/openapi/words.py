"""What the docs say of parameters, as `make words` has written it down from them."""

from __future__ import annotations

import json
from pathlib import Path

PLACE = Path(__file__).with_name("words.json")


def words_of(names: str) -> dict[str, str]:
    """By parameter, as in `messages[].role`: of one of the formats, or of several with spaces between."""
    said: dict[str, dict[str, str]] = json.loads(PLACE.read_text("utf-8"))
    wanted = set(names.split())
    return {
        name: text for formats, told in said.items() if wanted & set(formats.split()) for name, text in told.items()
    }
