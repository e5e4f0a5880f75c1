"""What everything that travels through Redis is made of."""

from __future__ import annotations

from msgspec import Struct


class Record(Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True, gc=False):
    """An immutable value. In JSON it is an object that names its class in `type`, without the fields at their default.

    The garbage collector need not look at it: a record holds other records, tuples and plain values, never a cycle.
    """
