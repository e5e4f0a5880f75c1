"""The one language that gateway and worker speak: tasks and events. Pure values.

A *task* is a validated request. An *event* is what a job emits while it runs. Both are immutable records whose fields
carry the names of the OpenAI API. How they travel through Redis is in shared/codec.py.
"""

from __future__ import annotations

from shared.protocol.events import (
    Accepted,
    Call,
    Delta,
    Done,
    Event,
    Failed,
    FinishReason,
    Options,
    Progress,
    StartOver,
    State,
    Timings,
    Usage,
    final_state,
)
from shared.protocol.record import Record
from shared.protocol.tasks import (
    FINE,
    SAMPLERS,
    Chat,
    Completion,
    FineChat,
    FineMessage,
    FineSampling,
    Grammar,
    Message,
    Prompt,
    Sampling,
    Task,
    TextTask,
    Tool,
    ToolCall,
)

__all__ = [
    "FINE",
    "SAMPLERS",
    "Accepted",
    "Call",
    "Chat",
    "Completion",
    "Delta",
    "Done",
    "Event",
    "Failed",
    "FineChat",
    "FineMessage",
    "FineSampling",
    "FinishReason",
    "Grammar",
    "Message",
    "Options",
    "Progress",
    "Prompt",
    "Record",
    "Sampling",
    "StartOver",
    "State",
    "Task",
    "TextTask",
    "Timings",
    "Tool",
    "ToolCall",
    "Usage",
    "final_state",
]
