"""What is told of texts without generating any: tokens, vectors, ranks."""

from __future__ import annotations

from gateway.openapi.answers.shapes import (
    ANYTHING,
    COUNT,
    NUMBER,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    either,
    nullable,
    record,
    table,
    word,
)

SHAPES: dict[str, JsonSchema] = {}
_COUNTED = Answered(record(object=word("response.input_tokens"), input_tokens=COUNT))
_PIECE = record(id=COUNT, piece=either(TEXT, array(COUNT)))
_USAGE = record(prompt_tokens=COUNT, total_tokens=COUNT)
_VECTOR = either(array(NUMBER), {**TEXT, "contentEncoding": "base64"})
_RANKED = Answered(
    either(
        record(
            id=TEXT,
            object=word("list"),
            model=TEXT,
            results=array(record({"document": record(text=TEXT)}, index=COUNT, relevance_score=NUMBER)),
            usage=_USAGE,
        ),
        array(record({"text": TEXT}, index=COUNT, score=NUMBER)),
    )
)
ANSWERS: Answers = {
    ("POST", "/v1/tokenize"): Answered(
        either(
            record(count=COUNT, max_model_len=nullable(COUNT), tokens=array(COUNT), token_strs=nullable(array(TEXT))),
            record(tokens=either(array(COUNT), array(_PIECE))),
        )
    ),
    ("POST", "/v1/detokenize"): Answered(record(prompt=TEXT, content=TEXT)),
    ("POST", "/v1/apply-template"): Answered(record(prompt=TEXT)),
    ("GET", "/v1/tokenizer_info"): Answered(table(ANYTHING)),
    ("POST", "/v1/chat/completions/input_tokens"): _COUNTED,
    ("POST", "/v1/responses/input_tokens"): _COUNTED,
    ("POST", "/v1/embeddings"): Answered(
        record(
            object=word("list"),
            data=array(record(object=word("embedding"), index=COUNT, embedding=_VECTOR)),
            model=TEXT,
            usage=_USAGE,
        )
    ),
    ("POST", "/v1/rerank"): _RANKED,
    ("POST", "/v1/reranking"): _RANKED,
}
