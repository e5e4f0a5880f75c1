"""What the docs say of parameters, as `make words` has written it down from them."""

from __future__ import annotations

import json
from pathlib import Path

PLACE = Path(__file__).with_name("words.json")
ALIAS = "Another name of {}."
INERT = "{}; asks for nothing here."
ONLY = "Only {}, which asks for nothing."
"""How it is said of parameters that are no others."""


def words_of(names: str) -> dict[str, str]:
    """By parameter, as in `messages[].role`, in the docs' order: of formats that are named with spaces between."""
    said: list[tuple[str, str, str]] = json.loads(PLACE.read_text("utf-8"))
    wanted = set(names.split())
    return {name: text for name, formats, text in said if wanted & set(formats.split())}
