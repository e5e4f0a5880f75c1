"""Do the templates of 24 families call tools on the built-in model, whatever it would say?

    python -m tests.templates [--seeds N] [--short] [--random] [FAMILY ...]

A template of another family says nothing to the built-in model, so what comes is what is held: required and named calls
parse and validate at each seed, at a temperature of 1; what may call has no broken call; the history comes back.
`--random` takes a tiny model with random weights, which is much faster and says the strangest things. `--short` is four
families and five seeds. Ends with 1 where anything did not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from jsonschema import ValidationError  # type: ignore[import-untyped]  # jsonschema has no types

from inferq import pull
from shared import catalogue
from shared.errors import InferqError
from tests.templates import family
from tests.tiny import roomy
from worker.engines.llama_cpp import LlamaCppEngine

SHORT = (
    "meta-llama-Llama-3.1-8B-Instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen3-Coder",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="tools in the forms of many templates")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="[all]")
    parser.add_argument("--seeds", type=int, default=50, help="answers of each kind [50]")
    parser.add_argument("--short", action="store_true", help="four families, five seeds")
    parser.add_argument("--random", action="store_true", help="on a tiny model with random weights")
    options = parser.parse_args()
    names = options.families or (SHORT if options.short else family.NATIVE)
    seeds = min(5, options.seeds) if options.short else options.seeds
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        built_in = pull.provide(catalogue.resolve("smollm2")).path
        model = roomy(Path(folder)) if options.random or not built_in else built_in
        for name in names:
            with family.loaded(name, model) as engine:
                failed += judge(name, engine, seeds)
    sys.exit(failed > 0)


def judge(name: str, engine: LlamaCppEngine, seeds: int) -> int:
    """Prints a family's line; returns how much did not hold."""
    dialect = family.dialect(engine)
    given = family.tools(dialect)
    if dialect is None or not dialect.opener:
        print(f"{name}: no form of tools", flush=True)
        return 1
    kinds: dict[str, Callable[[int], None]] = {
        "required": lambda seed: family.must_call(engine, given, seed),
        "named": lambda seed: family.must_call(engine, given[:1], seed),
        "several": lambda seed: family.may_call_more(engine, given, seed),
    }
    if dialect.marked:
        kinds["auto"] = lambda seed: family.may_call(engine, given, seed)
    words, failures = [], list[str]()
    for kind, ask in kinds.items():
        held = 0
        for seed in range(seeds):
            try:
                ask(seed)
                held += 1
            except (AssertionError, ValueError, ValidationError, InferqError) as exc:
                failures.append(f"  {kind}, seed {seed}: {type(exc).__name__}: {str(exc)[:300]}")
        words.append(f"{kind} {held} of {seeds}")
    try:
        family.comes_back(engine, given, must_call=not dialect.marked)
        words.append("history comes back")
    except (AssertionError, ValueError, ValidationError, InferqError) as exc:
        failures.append(f"  history: {type(exc).__name__}: {str(exc)[:300]}")
    kind = "strict arguments" if dialect.exact else "free texts"
    print(f"{name}: {', '.join(words)}; {kind}, opener {dialect.opener!r}", *failures, sep="\n", flush=True)
    return len(failures)


if __name__ == "__main__":
    main()
