"""The format of /v1/messages/count_tokens, Anthropic's."""

from __future__ import annotations

from typing import Any

from gateway.schemas.anthropic.failure import render_failure
from gateway.schemas.anthropic.request import CountSchema, make_chat
from gateway.schemas.tokenizers import TokenizerFormat
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Encoded, Encoding, Options, Sampling, TokenizerEvent


class CountTokensFormat(TokenizerFormat):
    """How many tokens the model would read."""

    name = "anthropic.count_tokens"
    id_prefix = "msgcount_"
    schema = CountSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Encoding, Options]:
        given = self.schema.read(body, config)
        return Encoding(given["model"], make_chat(given, Sampling(seed))), Options()

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        assert isinstance(event, Encoded), "what `parse` asks for"
        return {"input_tokens": len(event.tokens)}

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
