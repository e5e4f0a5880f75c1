"""OpenAI's `metadata`: what clients write beside what is stored, and filter lists by."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from gateway.schemas.json_schema import mapping
from gateway.schemas.objects import keyed
from gateway.schemas.parameters import short
from gateway.schemas.problem import refuse

MOST_METADATA = 16
"""Pairs of a thing's metadata, as OpenAI's."""
LONGEST_KEY = 64
"""Characters of a key of metadata, as OpenAI's."""
LONGEST_VALUE = 512
"""Characters of a value of metadata, as OpenAI's."""


class Metadata(fields.Field[dict[str, str]]):
    """Pairs of short strings."""

    json_schema: ClassVar = mapping(
        maxProperties=MOST_METADATA,
        propertyNames={"maxLength": LONGEST_KEY},
        additionalProperties={"type": "string", "maxLength": LONGEST_VALUE},
    )

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> dict[str, str]:
        value = keyed(value)
        if len(value) > MOST_METADATA:
            raise refuse("invalid_value", f"at most {MOST_METADATA} pairs, but there are {len(value)}")
        pairs: dict[str, str] = {}
        for key, text in value.items():
            key = short(key, LONGEST_KEY)
            try:
                pairs[key] = short(text, LONGEST_VALUE)
            except ValidationError as exc:
                raise ValidationError({key: exc.messages}) from exc
        return pairs
