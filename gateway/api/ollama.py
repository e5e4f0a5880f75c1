"""/api/chat, /api/generate and what else Ollama's clients ask for"""

from __future__ import annotations

import time

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from gateway.answers import as_json
from gateway.api.body import read_body
from gateway.api.generation import generate
from gateway.offers import Readiness, claims
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS, Format
from gateway.schemas.ollama.model import VERSION, WantedSchema, list_model, list_running, show_model
from gateway.schemas.ollama.words import LOAD, UNLOAD
from gateway.sse import bare_lines
from gateway.state import this_gateway
from shared import version
from shared.errors import ModelNotFound
from shared.protocol import Accepted, Done, Options, Task, Usage

views = Blueprint("ollama", __name__)

_WANTED = WantedSchema()
_EMBEDDED = {"model": "MODEL", "input": "A fox."}
_NOTHING = Done(Usage(0, 0))


def _spare(wire: Format, task: Task, options: Options) -> ResponseReturnValue | None:
    """A model that is to be let go of, and that nobody has loaded, is not loaded for that."""
    if options.asked.get(LOAD) != UNLOAD or this_gateway().directory.tell(task.model).status is not Readiness.UNLOADED:
        return None
    now, part = divmod(time.time_ns(), 10**9)
    accepted = Accepted(task, now, format=wire.name, options=options, nanoseconds=part)
    if not options.stream:
        return as_json(wire.render("", accepted, [_NOTHING]))
    lines = bare_lines(wire.render_frames("", accepted, options))
    return Response(lines(_NOTHING), mimetype=wire.stream_media)


@views.post("/chat")
@operation(
    "ollamaChat",
    formats=[FORMATS["ollama.chat"]],
    example={"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]},
)
def chat() -> ResponseReturnValue:
    """Answer a conversation, as it comes; one without messages has the model loaded."""
    return generate(FORMATS["ollama.chat"], spare=_spare)


@views.post("/generate")
@operation("ollamaGenerate", formats=[FORMATS["ollama.generate"]], example={"model": "MODEL", "prompt": "Hello!"})
def write() -> ResponseReturnValue:
    """Answer a prompt, as it comes; one that is empty has the model loaded."""
    return generate(FORMATS["ollama.generate"], spare=_spare)


@views.post("/embed")
@operation("ollamaEmbed", formats=[FORMATS["ollama.embed"]], example=_EMBEDDED)
def embed() -> ResponseReturnValue:
    """Tell the vectors of texts."""
    return generate(FORMATS["ollama.embed"], spare=_spare)


@views.post("/embeddings")
@operation("ollamaEmbeddings", formats=[FORMATS["ollama.embeddings"]], example={"model": "MODEL", "prompt": "A fox."})
def embed_one() -> ResponseReturnValue:
    """Tell the vector of one text."""
    return generate(FORMATS["ollama.embeddings"], spare=_spare)


@views.get("/tags")
@operation("ollamaTags")
def tags() -> ResponseReturnValue:
    """List the models that may be asked for, by id and alias."""
    return jsonify(models=[list_model(offer.card, name) for offer, name in claims(this_gateway().directory.offers())])


@views.get("/ps")
@operation("ollamaPs")
def running() -> ResponseReturnValue:
    """List the models that are loaded."""
    loaded = [offer for offer in this_gateway().directory.offers() if offer.status is Readiness.LOADED]
    return jsonify(models=[list_running(offer.card, offer.card.id) for offer in loaded])


@views.post("/show")
@operation("ollamaShow", body=_WANTED, example={"model": "MODEL"})
def show() -> ResponseReturnValue:
    """Tell what is known of a model."""
    return jsonify(show_model(this_gateway().directory.tell(read_body(_WANTED)["model"]).card))


@views.post("/pull")
@operation("ollamaPull", formats=[FORMATS["ollama.pull"]], example={"model": "MODEL"})
def pull() -> ResponseReturnValue:
    """Have a model loaded, which is fetched for that where it has to be."""
    try:
        return generate(FORMATS["ollama.pull"])
    except ModelNotFound as exc:
        raise ModelNotFound(f"{exc.message} `inferq pull` fetches others.", param=exc.param) from exc


@views.get("/version")
@operation("ollamaVersion")
def tell_version() -> ResponseReturnValue:
    """Tell which of Ollama's releases has this API, and inferq's own version."""
    return jsonify(version=VERSION, inferq=version.VERSION)
