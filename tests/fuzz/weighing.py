"""What must not be of an answer to a request that was drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from gateway.schemas.problem import CODES
from tests.descriptions import Description
from tests.fuzz import ollama, responses
from tests.fuzz.beyond import BEYOND, NOT_THERE
from tests.fuzz.drawing import Case, computes
from tests.fuzz.messages import read_error

_PLACES = re.compile(r"\[\d+\]|(?<=^metadata)\..*", re.DOTALL)
"""What of a parameter's name the request has chosen."""
_ENDS = ("data: [DONE]\n\n", 'data: {"type":"message_stop"}\n\n')
_INFILL_ENDS = '"stop":true,'
"""How streams end well."""
_CHECKS = [checks.content_type_conformance, checks.status_code_conformance, checks.response_headers_conformance]


def weigh(case: Case, answer: schemathesis.Response, mode: GenerationMode, described: Description) -> tuple[str, str]:
    """The code of an answer, and its fault."""
    told = "; ".join(_wrong(case, answer, described))
    if answer.status_code < 400:
        code, fault = "", _accepted(case, answer, mode)
    else:
        code, fault = _refused(answer, mode)
    return code, fault or told


def _wrong(case: Case, answer: schemathesis.Response, described: Description) -> Iterator[str]:
    """What is not as described of any answer."""
    if answer.content:
        kind = str((answer.headers.get("content-type") or [""])[0])
        yield from described.judge(
            case.method, case.path, answer.status_code, kind, answer.content.decode(errors="replace")
        )
    try:
        case.validate_response(answer, checks=_CHECKS)
    except FailureGroup as exc:
        yield _say(exc)


def _accepted(case: Case, answer: schemathesis.Response, mode: GenerationMode) -> str:
    kind = str(answer.headers.get("content-type"))
    if "ndjson" in kind and not ollama.ends(answer.text):
        return f"the stream has no end: {answer.text[-500:]}"
    streamed = "event-stream" in kind
    if streamed and not _ends(answer.text) and not (case.query or {}).get("starting_after"):
        return f"the stream has no end: {answer.text[-500:]}"
    if mode is GenerationMode.POSITIVE or any(value in ("", [""]) for value in (case.query or {}).values()):
        return ""  # in a query, what is empty is not given
    query = case.query or {}
    if any(name.startswith("metadata[]") or isinstance(value, list) for name, value in query.items()):
        return ""  # what is listed is read as a pair of that name; of several values of one name the first is taken
    if case.path in ("/api/chat", "/api/generate") and ollama.only_loads(answer.text):
        return ""
    if case.path == "/v1/models":
        return ""  # only Anthropic's clients, who say that they are, have pages of it
    if computes(case.operation.definition.raw):
        return "it is not as described, and was answered"
    try:
        case.validate_response(answer, checks=[checks.negative_data_rejection])
    except FailureGroup as exc:
        return _say(exc)
    return ""


def _say(found: FailureGroup) -> str:
    return "; ".join(f"{each.title}: {each.message}" for each in found.exceptions if isinstance(each, Failure))


def _refused(answer: schemathesis.Response, mode: GenerationMode) -> tuple[str, str]:
    param, code, message = read_error(answer.json(), answer.status_code)
    if answer.status_code >= 500 and code != "not_served":
        return code, answer.text
    if answer.status_code == 400 and code not in {*CODES, "context_length_exceeded", "unknown_event"}:
        return code, f"no code of ours: {answer.text}"
    if answer.status_code == 400 and param is None and not message.startswith(("The request", "Invalid request body")):
        return code, f"no parameter is named: {answer.text}"
    place = param and _PLACES.sub("[]", param)
    if mode is GenerationMode.POSITIVE and code not in NOT_THERE and (place, code) not in BEYOND:
        return code, f"it is as described, and was refused: {answer.text}"
    return code, ""


def _ends(stream: str) -> bool:
    last = stream.removesuffix("\n\n").rpartition("\n\n")[2]
    return stream.endswith(_ENDS) or _INFILL_ENDS in last or last.startswith(responses.ENDS)
