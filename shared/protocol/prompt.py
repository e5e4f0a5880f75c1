"""What a model reads."""

from __future__ import annotations

Prompt = str | tuple[int, ...]
"""A text, or the ids of its tokens."""
