"""The one language that gateway and worker speak: tasks and events. Pure values.

A *task* is a validated request. An *event* is what a job emits while it runs. Both are immutable records whose fields
carry the names of the OpenAI API. How they travel through Redis is in shared/codec.py.
"""

from __future__ import annotations

from shared.protocol.accepted import Accepted, Kept, Options
from shared.protocol.events import (
    Call,
    Decoded,
    Delta,
    Described,
    Done,
    Encoded,
    Event,
    Failed,
    FinishReason,
    Pooled,
    Progress,
    StartOver,
    State,
    Timings,
    TokenizerEvent,
    Told,
    Usage,
    final_state,
)
from shared.protocol.logprobs import TokenLogprob, TopLogprob
from shared.protocol.pooling import Embedding, PoolingTask, Reranking
from shared.protocol.prompt import Prompt
from shared.protocol.record import Record
from shared.protocol.sampling import FINE, SAMPLERS, Caching, FineSampling, Grammar, Sampling
from shared.protocol.tasks import (
    Chat,
    Completion,
    Decoding,
    Describing,
    Encoding,
    FineChat,
    FineCompletion,
    FineMessage,
    Message,
    Passage,
    Task,
    TextTask,
    TokenizerTask,
    Tool,
    ToolCall,
    tells_tokens,
    text_task,
)

__all__ = [
    "FINE",
    "SAMPLERS",
    "Accepted",
    "Caching",
    "Call",
    "Chat",
    "Completion",
    "Decoded",
    "Decoding",
    "Delta",
    "Described",
    "Describing",
    "Done",
    "Embedding",
    "Encoded",
    "Encoding",
    "Event",
    "Failed",
    "FineChat",
    "FineCompletion",
    "FineMessage",
    "FineSampling",
    "FinishReason",
    "Grammar",
    "Kept",
    "Message",
    "Options",
    "Passage",
    "Pooled",
    "PoolingTask",
    "Progress",
    "Prompt",
    "Record",
    "Reranking",
    "Sampling",
    "StartOver",
    "State",
    "Task",
    "TextTask",
    "Timings",
    "TokenLogprob",
    "TokenizerEvent",
    "TokenizerTask",
    "Told",
    "Tool",
    "ToolCall",
    "TopLogprob",
    "Usage",
    "final_state",
    "tells_tokens",
    "text_task",
]
