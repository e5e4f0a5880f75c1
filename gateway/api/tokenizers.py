"""What is asked of a model's tokenizer: /v1/tokenize, /v1/detokenize, /v1/tokenizer_info, /v1/apply-template and
/v1/chat/completions/input_tokens"""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.generation import answer, generate, seed
from gateway.attempts import fingerprint
from gateway.auth import owner
from gateway.openapi.operation import operation
from gateway.openapi.parameters import MODEL
from gateway.schemas import FORMATS
from gateway.state import this_gateway

views = Blueprint("tokenizers", __name__)

_CHAT = {"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]}
_TOKENIZE = ("vllm.tokenize", "vllm.tokenize_chat", "llama.cpp.tokenize")


@views.post("/tokenize")
@operation("tokenize", formats=[FORMATS[name] for name in _TOKENIZE], example={"model": "MODEL", "prompt": "Hello!"})
def tokenize() -> ResponseReturnValue:
    """Tell the tokens of a text or a conversation."""
    return generate(FORMATS["vllm.tokenize"])


@views.post("/detokenize")
@operation("detokenize", formats=[FORMATS["detokenize"]], example={"model": "MODEL", "tokens": [1, 2, 3]})
def detokenize() -> ResponseReturnValue:
    """Tell the text of tokens."""
    return generate(FORMATS["detokenize"])


@views.post("/apply-template")
@operation("applyTemplate", formats=[FORMATS["llama.cpp.apply_template"]], example=_CHAT)
def apply_template() -> ResponseReturnValue:
    """Tell what the model's template makes of a conversation."""
    return generate(FORMATS["llama.cpp.apply_template"])


@views.post("/chat/completions/input_tokens")
@operation("countChatTokens", formats=[FORMATS["llama.cpp.input_tokens"]], example=_CHAT)
def count() -> ResponseReturnValue:
    """Tell how many tokens the prompt of a chat has."""
    return generate(FORMATS["llama.cpp.input_tokens"])


@views.get("/tokenizer_info")
@operation("getTokenizerInfo", parameters=[MODEL])
def describe() -> ResponseReturnValue:
    """Tell what a model's tokenizer is."""
    wire = FORMATS["vllm.tokenizer_info"]
    task, options = wire.parse(request.args.to_dict(), seed(), this_gateway().config)
    mark = fingerprint(owner().name, request.path, request.query_string)
    return answer(wire, task, options, mark, [])
