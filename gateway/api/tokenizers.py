"""What is asked of a model's tokenizer: /v1/tokenize, /v1/detokenize, /v1/tokenizer_info, /v1/apply-template and
/v1/chat/completions/input_tokens"""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.generation import answer, generate, seed
from gateway.attempts import fingerprint
from gateway.auth import owner
from gateway.schemas import FORMATS
from gateway.state import this_gateway

views = Blueprint("tokenizers", __name__)


@views.post("/tokenize")
def tokenize() -> ResponseReturnValue:
    return generate(FORMATS["vllm.tokenize"])


@views.post("/detokenize")
def detokenize() -> ResponseReturnValue:
    return generate(FORMATS["detokenize"])


@views.post("/apply-template")
def apply_template() -> ResponseReturnValue:
    return generate(FORMATS["llama.cpp.apply_template"])


@views.post("/chat/completions/input_tokens")
def count() -> ResponseReturnValue:
    return generate(FORMATS["llama.cpp.input_tokens"])


@views.get("/tokenizer_info")
def describe() -> ResponseReturnValue:
    wire = FORMATS["vllm.tokenizer_info"]
    task, options = wire.parse(request.args.to_dict(), seed(), this_gateway().config)
    mark = fingerprint(owner().name, request.path, request.query_string)
    return answer(wire, task, options, mark, [])
