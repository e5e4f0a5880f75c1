"""/api/chat, /api/generate and what else Ollama's clients ask for"""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from gateway.api.body import read_body
from gateway.api.generation import generate
from gateway.offers import Readiness, claims
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS
from gateway.schemas.ollama.model import VERSION, WantedSchema, list_model, list_running, show_model
from gateway.state import this_gateway
from shared import version
from shared.errors import ModelNotFound

views = Blueprint("ollama", __name__)

_WANTED = WantedSchema()
_EMBEDDED = {"model": "MODEL", "input": "A fox."}


@views.post("/chat")
@operation(
    "ollamaChat",
    formats=[FORMATS["ollama.chat"]],
    example={"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]},
)
def chat() -> ResponseReturnValue:
    """Answer a conversation, as it comes; one without messages has the model loaded."""
    return generate(FORMATS["ollama.chat"])


@views.post("/generate")
@operation("ollamaGenerate", formats=[FORMATS["ollama.generate"]], example={"model": "MODEL", "prompt": "Hello!"})
def write() -> ResponseReturnValue:
    """Answer a prompt, as it comes; one that is empty has the model loaded."""
    return generate(FORMATS["ollama.generate"])


@views.post("/embed")
@operation("ollamaEmbed", formats=[FORMATS["ollama.embed"]], example=_EMBEDDED)
def embed() -> ResponseReturnValue:
    """Tell the vectors of texts."""
    return generate(FORMATS["ollama.embed"])


@views.post("/embeddings")
@operation("ollamaEmbeddings", formats=[FORMATS["ollama.embeddings"]], example={"model": "MODEL", "prompt": "A fox."})
def embed_one() -> ResponseReturnValue:
    """Tell the vector of one text."""
    return generate(FORMATS["ollama.embeddings"])


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
