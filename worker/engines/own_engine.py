"""A `llama-server` of the user's own in place of the one that comes along: what its host is to know, and whether it
does what inferq asks of one.

Forks and builds of other days speak nearly the same. So all that inferq rests on is asked for once, when the engine
starts: endpoints, the fields of their answers, and numbers, which are compared with those of the library that comes
along, for the same file.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.cancellation import Cancellation
from shared.errors import InferqError, JobCancelled, ModelLoadError
from shared.regular_file import find, open_regular
from worker.engines.llama_cpp_score import Scorer
from worker.engines.llama_cpp_server import LlamaServer

log = logging.getLogger(__name__)

GOLDEN = 8
"""Tokens of an answer that are compared."""
PATIENCE, _COMPUTING = 60.0, 10
"""Seconds for each of these questions, and how many times as long where it computes for it."""
OPENING = 60.0
"""Seconds without any answer, also while it loads the model, after which a program is given up."""
_WITHIN = 0.5
"""How much the logarithm of a probability may differ: weights that are repacked for a processor round otherwise."""
_TEXT = "The lighthouse stood on the rock, and the sea"
_LOADERS = ("/lib64/ld-linux*", "/lib/ld-*", "/lib/*/ld-linux*")
_SHARED = "lib*.so*"
"""The libraries that a build has beside its program."""
_FIRST_LINE = 256
_ABSENT = "File Not Found"
"""What llama.cpp's server says of an endpoint that it has not."""


def choose_host(path: str, parameters: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The module of the host that computes, and what that is to know: with the program at `path`, if one is named.

    Raises ModelLoadError.
    """
    if not path:
        return "worker.engines.llama_cpp_host", parameters
    try:
        program = find(path)
        with open_regular(program) as file:
            line = file.readline(_FIRST_LINE)
    except OSError as exc:
        raise ModelLoadError(f"INFERQ_LLAMA_SERVER={path}: cannot be read: {exc.strerror}") from exc
    if not os.access(program, os.X_OK):
        raise ModelLoadError(f"INFERQ_LLAMA_SERVER={path}: this is no program, or may not be started")
    script = [line[2:].split()[0].decode(errors="replace")] if line[:2] == b"#!" and line[2:].split() else []
    loaders = (str(each) for pattern in _LOADERS for each in sorted(Path("/").glob(pattern[1:])))
    libraries = [
        str(each) for folder in (program.parent, program.parent.parent / "lib") for each in folder.glob(_SHARED)
    ]
    more = {"program": str(program), "opening": OPENING, "executes": [str(program), *script, *loaders]}
    return "worker.engines.llama_server_host", {**parameters, **more, "reads": [*parameters["reads"], *libraries]}


def check_interface(server: LlamaServer) -> None:
    """Raises ModelLoadError for a program that does not speak as llama.cpp's server does."""
    properties = _ask(server, "/props")
    build = properties.get("build_info", "of an unknown version")
    _expect(build, "/props", properties, chat_template_caps=dict, default_generation_settings=dict, total_slots=int)
    _expect(build, "/props", properties["default_generation_settings"], n_ctx=int)
    told = _ask(server, "/tokenize", {"content": _TEXT, "with_pieces": True, "parse_special": False})
    _expect(build, "/tokenize", told, tokens=list)
    if not isinstance(_ask(server, "/lora-adapters"), list):
        raise _refusal(build, "/lora-adapters tells no list")
    _expect(build, "/slots/0?action=erase", _ask(server, "/slots/0?action=erase", {}), n_erased=int)
    try:
        _ask(server, "/apply-template", {"messages": [{"role": "user", "content": _TEXT}]})
    except ModelLoadError as exc:
        if _ABSENT in str(exc):
            raise
        # Else the file has a template that cannot be used, which its chats will tell.
    log.info("computing with the user's own llama-server, %s", build)


def check_numbers(server: LlamaServer, scorer: Scorer, close: Callable[[], None]) -> None:
    """Have it go on with a text, and ask the library that comes along how likely that is.

    Raises ModelLoadError, and calls `close` first, where the two do not agree.
    """
    try:
        _compare(server, scorer)
        _try_grammar(server)
    except BaseException:
        close()
        raise


def _compare(server: LlamaServer, scorer: Scorer) -> None:
    build = _ask(server, "/props").get("build_info", "of an unknown version")
    prompt = _ask(server, "/tokenize", {"content": _TEXT})["tokens"]
    asked = {"prompt": prompt, "n_predict": GOLDEN, "temperature": 0, "n_probs": 1, "cache_prompt": False}
    asked |= {"samplers": ["temperature"], "ignore_eos": True, "return_tokens": True}
    answer = _ask(server, "/completion", asked, computes=True)
    _expect(build, "/completion", answer, tokens=list, content=str, completion_probabilities=list, timings=dict)
    # Of a token that was guessed nothing is told, as of one that is a part of a character.
    told = (entry for entry in answer["completion_probabilities"] if entry["top_logprobs"])
    tokens = answer["tokens"]
    entry = next(told, None)
    for token, score in zip(tokens, scorer.score([*prompt, *tokens], len(prompt)), strict=False):
        if entry is None or entry["id"] != token:
            continue
        if score.logprob is None or abs(score.logprob - entry["logprob"]) > _WITHIN:
            found = f"the token {token} has {entry['logprob']:.3f} where inferq's own says {score.logprob:.3f}"
            raise _refusal(build, f"the logarithms of its probabilities are others: {found}")
        entry = next(told, None)
    if not tokens or entry is not None:
        raise _refusal(build, "/completion tells other tokens than it says")


def _try_grammar(server: LlamaServer) -> None:
    asked = {"prompt": _TEXT, "n_predict": 4, "temperature": 0, "cache_prompt": False}
    try:
        told = _ask(server, "/completion", {**asked, "grammar": '%llguidance {}\nstart: "zebra"'}, computes=True)
        kept = str(told["content"]).startswith("z")
    except ModelLoadError:
        kept = False
    if not kept:
        log.warning(
            "the user's own llama-server was built without llguidance (cmake -DLLAMA_LLGUIDANCE=ON):"
            " answers that are to keep to a schema or a grammar will fail"
        )


def _ask(server: LlamaServer, path: str, body: Mapping[str, Any] | None = None, *, computes: bool = False) -> Any:
    seconds, work = PATIENCE * (_COMPUTING if computes else 1), Cancellation()
    late = threading.Timer(seconds, work.cancel)
    late.daemon = True
    late.start()
    try:
        return server.ask(path, body, work, computes=computes, steps=GOLDEN)
    except JobCancelled as exc:
        raise _refusal("as it is", f"{path} was not answered within {seconds:.0f} s") from exc
    except (InferqError, KeyError, TypeError) as exc:  # the latter two: a refusal that is not in llama.cpp's form
        raise _refusal("as it is", f"{path} answers otherwise ({exc})") from exc
    finally:
        late.cancel()


def _expect(build: str, path: str, answer: Any, **kinds: type) -> None:
    for name, kind in kinds.items():
        if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
            raise _refusal(build, f"{path} has no `{name}`")


def _refusal(build: str, why: str) -> ModelLoadError:
    return ModelLoadError(
        f"the program that INFERQ_LLAMA_SERVER names, {build}, does not do what inferq needs: {why}."
        " Take one of about the same days as the llama.cpp that comes along, or leave the setting out"
    )
