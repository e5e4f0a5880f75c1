"""The format of /v1/responses/compact: the model sums up a conversation, so that a shorter one goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from gateway.schemas.caching import CachingSchema
from gateway.schemas.format import Frame, Frames
from gateway.schemas.objects import Object
from gateway.schemas.openai import END, encode, render_failure
from gateway.schemas.outcomes import failure, outcome
from gateway.schemas.parameters import Ignored, Word
from gateway.schemas.responses.answer import PARAMETERS, fold, tell_usage
from gateway.schemas.responses.ids import output_id
from gateway.schemas.responses.items import Item
from gateway.schemas.responses.prompt import ResponsePromptSchema, make_chat, place_items
from gateway.schemas.responses.references import Referring
from gateway.schemas.responses.summaries import COMPACTION, write_summary
from gateway.schemas.sampling import ServiceTier, sampling
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Chat, Done, Event, Failed, Message, Options
from shared.ticket import Tier

_ASK = (
    "Summarise this conversation so that somebody who knows nothing of it can go on with it: what was asked, what was"
    " said, found out, done and decided, with names, numbers and places as they are, and what is left to do. What the"
    " user said is kept, and need not be repeated. Answer with the summary alone."
)

_VAIN = ("tools", "tool_choice", "parallel_tool_calls", "text")


class CompactSchema(ResponsePromptSchema, CachingSchema):
    """A conversation. What a response to it would be made with asks for nothing here: agents send it along."""

    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)
    truncation = Ignored(Word("auto", "disabled"))  # type: ignore[assignment]  # a summary is of all of it
    prompt_cache_options = Ignored(Object())
    image = Ignored(Object())

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        rest = {name: value for name, value in data.items() if name not in _VAIN}
        return [*super().ignored(rest), *(name for name in _VAIN if data.get(name) is not None)]


class CompactFormat(Referring):
    """What is kept of the conversation is what the answer repeats of its request."""

    name = "openai.compact"
    id_prefix = "respcmp_"
    parameters = PARAMETERS
    gathers = True
    schema = CompactSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        given = self.schema.read(body, config)
        items = place_items(given, seed, config, self.referred)
        told = {name: value for name, value in given.items() if name not in (*_VAIN, "truncation")}
        chat = make_chat(told, items, self.referred, sampling(told, seed, config.usual_max_tokens))
        asked = {"output": [item for item in items if _stays(item)]}
        return replace(chat, messages=_ask(chat.messages)), Options(tier=given["service_tier"], asked=asked)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        output, last = fold(job_id, accepted, events)
        assert isinstance(last, Done), "what ends well"
        said = "".join(item["content"][0]["text"] for item in output.items() if item["type"] == "message")
        identifier = output_id("cmp", job_id.removeprefix(self.id_prefix), 0)
        item = {"id": identifier, "type": COMPACTION, "encrypted_content": write_summary(said)}
        return {
            "id": job_id,
            "object": "response.compaction",
            "created_at": accepted.created,
            "output": [*accepted.options.asked["output"], item],
            "usage": tell_usage(last.usage),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        events = list[Event]()

        def frames(event: Event) -> Iterator[Frame]:
            events.append(event)
            match event:
                case Done():
                    yield Frame(encode(self.render(job_id, accepted, events)))
                    yield END
                case Failed():
                    error = failure(event, self.parameters)
                    yield Frame(encode(self.render_failure(error, outcome(error.code).status)))

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


def _stays(item: Item) -> bool:
    """What the user said, and what the assistant was told to be: as it is."""
    return bool(item["type"] == "message" and item["role"] != "assistant")


def _ask(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation, and at its end what is wanted: many templates know no two turns of the user in a row."""
    *before, last = turns
    if last.role != "user":
        return (*turns, Message("user", _ASK))
    return (*before, replace(last, content=f"{last.content}\n\n{_ASK}"))
