"""Requests drawn from the API's own description, valid ones and spoiled ones: each is answered, or refused in words.

    python -m tests.fuzz.requests [--seconds 60] [--seed S]

No answer of 5xx; each 400 has a code that the docs know, and names the parameter; what the description allows is
answered, but for what it cannot say (`BEYOND`); what it forbids is refused. The same seed draws the same requests, as
far as the time goes.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from requests import Session
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from gateway.schemas.fine_sampling import ALIASES
from gateway.schemas.parameters import LONGEST_TEXT
from gateway.schemas.problem import CODES
from gateway.schemas.reasoning import ReasoningSchema
from gateway.schemas.structured import StructuredOutputs, StructuredSchema
from tests.fuzz import messages, responses
from tests.fuzz.drawing import computed
from tests.fuzz.messages import read_error
from tests.stack import Stack, running

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]

BATCH = 10
"""Requests that are drawn from one seed."""
_PLACES = re.compile(r"\[\d+\]|(?<=^metadata)\..*", re.DOTALL)
"""What of a parameter's name the request has chosen."""
UNFIT = ("return_token_ids", "ignore_eos", "min_tokens", "stop_token_ids")
BEYOND: set[tuple[str | None, str]] = {
    ("best_of", "invalid_value"),  # not less than `n`, and not with `stream`
    ("n", "invalid_value"),  # the choices of all prompts
    ("min_tokens", "invalid_value"),  # not more than `max_tokens`
    *((alias, "invalid_value") for alias in ALIASES),  # not another value than under its other name
    ("continue_final_message", "invalid_value"),  # only after the assistant's message
    ("add_generation_prompt", "invalid_value"),  # only with the former
    ("top_logprobs", "invalid_value"),  # only with `logprobs`
    ("dimensions", "unsupported_value"),  # those that the model has
    ("service_tier", "tier_refused"),
    ("metadata", "invalid_value"),  # few short ones where they are stored
    *((f"metadata{key}", "string_above_max_length") for key in ("", "[]")),
    ("prompt", "context_length_exceeded"),
    ("messages", "context_length_exceeded"),
    ("model", "model_not_found"),
    ("tools", "context_length_exceeded"),
    ("tools[]", "invalid_value"),  # not two of one name
    ("functions[]", "invalid_value"),
    ("functions", "invalid_value"),  # not with `tools`
    ("tool_choice", "invalid_value"),  # not one that is not there, and not with `functions`
    ("function_call", "invalid_value"),
    ("tools", "invalid_value"),  # a schema that cannot be kept
    *((name, "unsupported_value") for name in ("continue_final_message", *UNFIT)),  # not with tools
    *((name, "invalid_value") for name in UNFIT),  # not with a grammar
    *((name, "invalid_value") for name in StructuredSchema().fields),  # one that is right, and only one
    *((f"structured_outputs.{name}", "invalid_value") for name in StructuredOutputs().fields),
    *((f"response_format{name}", "invalid_value") for name in (".schema", ".json_schema.schema")),
    *((f"response_format{name}", "missing_required_parameter") for name in (".json_schema", ".json_schema.schema")),
    *((name, "invalid_value") for name in ReasoningSchema().fields),  # not something else in two places
    *(
        (f"chat_template_kwargs.{name}", "invalid_value")
        for name in ("enable_thinking", "thinking", "reasoning_effort")
    ),
    *((f"reasoning.{name}", "invalid_value") for name in ("effort", "enabled", "max_tokens")),
    *((f"thinking.{name}", "invalid_value") for name in ("type", "budget_tokens")),
    *((f"messages[].{name}", "invalid_value") for name in ("role", "name", "tool_call_id")),  # not of no call
    *((f"messages[].{name}", "invalid_value") for name in ("tool_calls", "function_call")),  # only of the assistant
    ("n_probs", "invalid_value"),  # not another number than `logprobs`
    *((name, "unsupported_value") for name in ("logprobs", "n_probs")),  # not in streams with tools
    *((name, "unsupported_value") for name in ("prompt_logprobs", "echo")),  # not in streams, or with `suffix`
    *((name, "integer_below_min_value") for name in ("max_completion_tokens", "max_tokens", *ALIASES)),  # 0, with them
    *messages.BEYOND,
    *responses.BEYOND,
}
"""(parameter, code) of refusals that a description by JSON Schema does not foresee; `[]` stands for any place."""
_ENDS = ("data: [DONE]\n\n", 'data: {"type":"message_stop"}\n\n')
"""How streams end well."""


@dataclass(frozen=True)
class Verdict:
    """What came of one request."""

    operation: str
    mode: GenerationMode
    status: int
    code: str
    fault: str = ""
    """Why this must not be; empty where it may."""
    body: str = ""


@click.command()
@click.option("--seconds", default=60.0, help="how long")
@click.option("--seed", "chosen", type=click.IntRange(0), help="of an earlier run, to draw the same again")
def main(seconds: float, chosen: int | None) -> None:
    chosen = secrets.randbelow(1_000_000) if chosen is None else chosen
    print(f"seed {chosen}")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="error") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        told = list(verdicts(stack, chosen, seconds))
    counts = Counter((verdict.operation, verdict.mode.value, verdict.status, verdict.code) for verdict in told)
    for (operation, mode, status, code), count in sorted(counts.items()):
        print(f"{operation:28} {mode:9} {status} {code:32} {count:6}")
    faults = [verdict for verdict in told if verdict.fault]
    for verdict in faults[:20]:
        print(f"\nBROKEN: {verdict.operation}, {verdict.mode.value}: {verdict.fault}\n{verdict.body[:1000]}")
    print(f"\nseed {chosen}: {len(told)} requests, {len(faults)} problems")
    sys.exit(1 if faults else 0)


def verdicts(stack: Stack, chosen: int, seconds: float, without: Collection[str] = ()) -> Iterator[Verdict]:
    """Draw and send until the time is over: each operation, but those of some paths, and each mode in turn, and each at
    least once."""
    schema = schemathesis.openapi.from_dict(computed(stack))
    schema.config.max_stream_events = sys.maxsize  # it would read the beginning of a stream only
    operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    turns = [(each, mode) for each in operations if each.path not in without for mode in GenerationMode]
    end, batch = time.monotonic() + seconds, 0
    with Session() as session:
        while batch < len(turns) or time.monotonic() < end:
            operation, mode = turns[batch % len(turns)]
            for case in draw(operation, mode, chosen * 1_000_000 + batch):
                yield judge(stack, session, case, mode)
            batch += 1


def draw(operation: Operation, mode: GenerationMode, number: int) -> list[Case]:
    cases: list[Case] = []
    once = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))

    @seed(number)
    @settings(once, max_examples=BATCH)
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        cases.append(case)

    collect()
    return cases


def judge(stack: Stack, session: Session, case: Case, mode: GenerationMode) -> Verdict:
    """Send it, for a model that is there, and look at the answer."""
    for part in (case.body, case.query):
        if isinstance(part, dict) and isinstance(model := part.get("model"), str) and 0 < len(model) <= LONGEST_TEXT:
            part["model"] = "echo"
    if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and "messages" in case.body:
        anthropic = case.path.startswith("/v1/messages")
        (messages.connect if anthropic else connect)(case.body["messages"])
    if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and case.path == "/v1/responses":
        responses.connect(case.body)
    if case.query:  # only the prompt would be missed
        case.query = {
            name: [""] if vanishes(value) and name != "prompt" else value for name, value in case.query.items()
        }
    answer = case.call(base_url=f"http://127.0.0.1:{stack.port}", session=session)
    code, fault = weigh(answer, mode)
    said = json.dumps([case.query, case.body], default=repr)
    return Verdict(f"{case.method} {case.path}", mode, answer.status_code, code, fault, said)


def connect(messages: Any) -> None:
    """Let only the assistant call tools, and results be those of its calls: a description cannot say that."""
    waiting = 0
    for message in messages:
        calls = len(message.get("tool_calls") or ()) or bool(message.get("function_call"))
        if calls:
            message["role"] = "assistant"
            waiting += calls
        elif message["role"] in ("tool", "function"):
            message.pop("name", None)
            message.pop("tool_call_id", None)
            message["role"] = message["role"] if waiting else "user"
            waiting -= bool(waiting)


def vanishes(value: Any) -> bool:
    """Nothing of it is sent in a query."""
    return value is None or (isinstance(value, list | dict) and all(each in (None, [], {}) for each in value))


def weigh(answer: schemathesis.Response, mode: GenerationMode) -> tuple[str, str]:
    """The code of an answer, and its fault."""
    if "event-stream" in str(answer.headers.get("content-type")) and not _ends(answer.text):
        return "", f"the stream has no end: {answer.text[-500:]}"
    if answer.status_code < 300:
        return "", "" if mode is GenerationMode.POSITIVE else "it is not as described, and was answered"
    param, code, message = read_error(answer.json())
    if answer.status_code >= 500:
        return code, answer.text
    if answer.status_code == 400 and code not in {*CODES, "context_length_exceeded"}:
        return code, f"no code of ours: {answer.text}"
    if answer.status_code == 400 and param is None and not message.startswith(("The request", "Invalid request body")):
        return code, f"no parameter is named: {answer.text}"
    if mode is GenerationMode.POSITIVE and (param and _PLACES.sub("[]", param), code) not in BEYOND:
        return code, f"it is as described, and was refused: {answer.text}"
    return code, ""


def _ends(stream: str) -> bool:
    return stream.endswith(_ENDS) or stream.removesuffix("\n\n").rpartition("\n\n")[2].startswith(responses.ENDS)


if __name__ == "__main__":
    main()
