"""The wire formats: requests in, answers out. Pure: no Flask, no Redis, no clock, no randomness.

A new endpoint is one module beside `chat.py` and one line here.
"""

from __future__ import annotations

from gateway.schemas.chat import ChatFormat
from gateway.schemas.completion import CompletionFormat
from gateway.schemas.wire import Options, WireFormat
from shared.protocol import Chat, Completion, Task

__all__ = ["FORMATS", "Options", "WireFormat"]

FORMATS: dict[type[Task], WireFormat] = {Chat: ChatFormat(), Completion: CompletionFormat()}
"""By the type of the task, so that a stored job can be answered in the format it was asked in."""
