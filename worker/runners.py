"""Which runner computes which kind of task. A new kind is one module beside `generation.py` and one line here."""

from __future__ import annotations

from typing import Any

from shared.protocol import (
    Chat,
    Completion,
    Decoding,
    Describing,
    Embedding,
    Encoding,
    FineChat,
    FineCompletion,
    Reranking,
    Task,
)
from worker.generation import GenerationRunner
from worker.pooling import PoolingRunner
from worker.run import Runner
from worker.tokens import TokenizerRunner

RUNNERS: dict[type[Task], type[Runner[Any]]] = {
    Chat: GenerationRunner,
    FineChat: GenerationRunner,
    Completion: GenerationRunner,
    FineCompletion: GenerationRunner,
    Encoding: TokenizerRunner,
    Decoding: TokenizerRunner,
    Describing: TokenizerRunner,
    Embedding: PoolingRunner,
    Reranking: PoolingRunner,
}
