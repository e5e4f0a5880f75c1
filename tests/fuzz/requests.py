"""Requests drawn from the API's own description, valid ones and spoiled ones: each is answered, or refused in words.

    python -m tests.fuzz.requests [--cases 2000] [--seconds 60] [--seed S]

All operations are drawn from in turn. No answer of 5xx; each is as the description says, to the last word; each 400 has
a code that the docs know, and names the parameter; what the description allows is answered, but for what it cannot say
(`BEYOND`); what it forbids is refused. Some requests name what others have made. The same seed draws the same requests.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import click
from requests import Session
from schemathesis import GenerationMode

from gateway.schemas.parameters import LONGEST_TEXT
from tests.descriptions import Description
from tests.fuzz import messages, responses
from tests.fuzz.drawing import BATCH, Bodies, Case, draw, operations
from tests.fuzz.known import Known
from tests.fuzz.weighing import weigh
from tests.stack import Stack, running


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
@click.option("--cases", type=click.IntRange(1), help="how many")
@click.option("--seconds", default=60.0, help="how long, where nothing is said of how many")
@click.option("--seed", "chosen", type=click.IntRange(0), help="of an earlier run, to draw the same again")
def main(cases: int | None, seconds: float, chosen: int | None) -> None:
    chosen = secrets.randbelow(1_000_000) if chosen is None else chosen
    print(f"seed {chosen}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="error") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        told = list(report(verdicts(stack, chosen, seconds, cases=cases)))
    counts = Counter((verdict.operation, verdict.mode.value, verdict.status, verdict.code) for verdict in told)
    for (operation, mode, status, code), times in sorted(counts.items()):
        print(f"{operation:44} {mode:9} {status} {code:32} {times:6}")
    faults = sum(bool(verdict.fault) for verdict in told)
    print(f"\nseed {chosen}: {len(told)} requests in {time.monotonic() - begun:.0f} s, {faults} problems")
    sys.exit(1 if faults else 0)


def report(told: Iterable[Verdict]) -> Iterator[Verdict]:
    """Pass them on, and print each new kind of fault at once: a run that is cut short has told them."""
    kinds = set[tuple[str, GenerationMode, str]]()
    for verdict in told:
        kind = verdict.operation, verdict.mode, verdict.fault[:100]
        if verdict.fault and kind not in kinds:
            kinds.add(kind)
            about = f"{verdict.operation}, {verdict.mode.value}"
            print(f"\nBROKEN: {about}: {verdict.fault[:2000]}\n{verdict.body[:1000]}", flush=True)
        yield verdict


def verdicts(
    stack: Stack,
    chosen: int,
    seconds: float = 0,
    cases: int | None = None,
    size: int = BATCH,
    without: Collection[str] = (),
) -> Iterator[Verdict]:
    """Draw and send so many, or until the time is over: each operation, but those of some paths, and each mode in turn,
    and each at least once; `size` at a time."""
    document = stack.http().get("/openapi.json").json()
    turns = [(each, mode) for each in operations(document) if each.path not in without for mode in GenerationMode]
    described, bodies = Description(document, closed=True), Bodies(document)
    known, dice = Known(), random.Random(chosen)
    end, sent = time.monotonic() + seconds, 0
    with Session() as session:
        for batch in count():
            if batch >= len(turns) and (time.monotonic() > end if cases is None else sent >= cases):
                return
            operation, mode = turns[batch % len(turns)]
            if (drawn := draw(operation, mode, chosen * 1_000_000 + batch, size)) is None:
                turns[batch % len(turns)] = operation, GenerationMode.POSITIVE
                continue
            for case in drawn:
                if mode is GenerationMode.NEGATIVE and bodies.allow(case):
                    continue
                prepare(case, mode, known, dice)
                answer = case.call(base_url=f"http://127.0.0.1:{stack.port}", session=session)
                code, fault = weigh(case, answer, mode, described)
                if "/json" in str(answer.headers.get("content-type")):
                    known.note(case, answer.json())
                said = json.dumps([case.path_parameters, case.query, case.body], default=repr) if fault else ""
                sent += 1
                yield Verdict(f"{case.method} {case.path}", mode, answer.status_code, code, fault, said)


def prepare(case: Case, mode: GenerationMode, known: Known, dice: random.Random) -> None:
    """Let it be for a model that is there, and of what is there; and say what a description cannot."""
    for part in (case.body, case.query):
        if isinstance(part, dict) and isinstance(model := part.get("model"), str) and 0 < len(model) <= LONGEST_TEXT:
            part["model"] = "echo"
    if mode is GenerationMode.POSITIVE:
        case.path_parameters = {  # no route takes two lines
            name: value.replace("%0A", "-") if isinstance(value, str) else value
            for name, value in (case.path_parameters or {}).items()
        }
        known.put(case, dice)
        if isinstance(case.body, dict) and case.body.get("messages"):
            anthropic = case.path.startswith("/v1/messages")
            (messages.connect if anthropic else connect)(case.body["messages"])
        if isinstance(case.body, dict) and case.path == "/v1/responses":
            responses.connect(case.body)
    if case.query:  # only the prompt would be missed
        empty = {name for name, value in case.query.items() if vanishes(value) and name != "prompt"}
        kept = {name: value for name, value in case.query.items() if name not in empty}
        case.query = kept if mode is GenerationMode.POSITIVE else {**kept, **{name: [""] for name in empty}}


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


if __name__ == "__main__":
    main()
