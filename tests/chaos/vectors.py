"""What clients ask to be embedded, and the vectors that they are told, to the last bit."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from shared.protocol import Embedding
from worker.engines.echo_pooling import EchoPooler

EMBEDDINGS = "/v1/embeddings"
_POOLER = EchoPooler(32_768)


def embed(words: Sequence[str], random: Random) -> tuple[dict[str, Any], str]:
    """A request for the vectors of texts with these words, and the transcript of its answer."""
    size = random.choice((1, 3, len(words)))
    texts = [" ".join(words[at : at + size]) for at in range(0, len(words), size)]
    task = Embedding("", tuple(texts))
    pooled = [_POOLER.pool(task, places) for places in _POOLER.divide(task)]
    vectors = [vector for some in pooled for vector in some.vectors]
    tokens = sum(sum(some.tokens) for some in pooled)
    body = {"input": texts, "encoding_format": random.choice(("float", "base64"))}
    return body, _transcript(vectors, tokens)


def transcript_of(answer: Mapping[str, Any]) -> str:
    """That of an answer with vectors."""
    places = [each["index"] for each in answer["data"]]
    if places != list(range(len(places))):
        return f"vectors of {places}"
    return _transcript((each["embedding"] for each in answer["data"]), answer["usage"]["prompt_tokens"])


def _transcript(vectors: Iterable[bytes | str | Sequence[float]], tokens: int) -> str:
    return json.dumps({"tokens": tokens, "vectors": [_text(vector) for vector in vectors]})


def _text(vector: bytes | str | Sequence[float]) -> str:
    """Base64 of its numbers, each a float of 32 bits."""
    if isinstance(vector, str):
        return vector
    blob = vector if isinstance(vector, bytes) else struct.pack(f"<{len(vector)}f", *vector)
    return b64encode(blob).decode()
