"""The format of /v1/responses/input_tokens."""

from __future__ import annotations

from typing import Any

from gateway.schemas.parameters import Ignored, Text, Word
from gateway.schemas.responses.prompt import ResponsePromptSchema, make_chat, place_items
from gateway.schemas.responses.references import Referring
from gateway.schemas.tokenizers import TokenizerFormat, tell_input_tokens
from shared.config import Config
from shared.protocol import Encoding, Options, Sampling, TokenizerEvent


class InputTokensSchema(ResponsePromptSchema):
    """A request of which only the prompt is asked. One that names no model means the default one."""

    model = Text(empty=False, load_default="")
    truncation = Ignored(Word("auto", "disabled"))  # type: ignore[assignment]  # all of it is counted
    personality = Ignored(Text())


class ResponseTokensFormat(TokenizerFormat, Referring):
    """How many tokens the model would read."""

    name = "openai.input_tokens"
    id_prefix = "respcount_"
    schema = InputTokensSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Encoding, Options]:
        given = self.schema.read(body, config)
        items = place_items(given, seed, config, self.referred)
        given.pop("truncation", None)
        return Encoding(given["model"], make_chat(given, items, self.referred, Sampling(seed))), Options()

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        return tell_input_tokens(event)
