"""A file whose weights are prepared for this CPU, through inferq, against llama.cpp's own HTTP server with that file.

    python -m bench.weights [MODEL|FILE] [--short] [--runs N] [--as-is] [--json FILE]

All sides have the same threads, n_batch, slots, context and sampling. Three sides in turns: inferq, which serves what
it prepares of the file; llama.cpp's server with the file itself; and that server with what was prepared, which tells
what of a difference is the weights' and what is inferq's. Tokens a second of 1 stream and of 8, and of prompts of about
1,500 tokens. With --as-is inferq serves the file too.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.chats import TOKENS, long_prompt, over_tcp, short_prompt
from bench.figure import Figure, add_json, keep
from bench.machine import describe
from bench.model import spent, tell_costs
from bench.peers import Numbers, llama_cpp
from inferq import pull
from inferq.weights import choose_weights
from shared import catalogue
from shared.config import Config
from shared.cores import usable
from tests.stack import running

SLOTS, CONTEXT = 8, 8192
PACKAGES = ("inferq", "xllamacpp")


def main() -> None:
    parser = argparse.ArgumentParser(description="prepared weights against llama.cpp's own server")
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--runs", type=int, default=5, help="rounds, in which the sides take turns [5]")
    parser.add_argument("--short", action="store_true", help="64 tokens an answer")
    parser.add_argument("--as-is", action="store_true", help="inferq serves the file as it is too")
    add_json(parser)
    flags = parser.parse_args()
    found = pull.provide(catalogue.resolve(flags.model))
    served = choose_weights(found, Config(as_is=int(flags.as_is)))
    assert found.path is not None
    assert served.path is not None
    numbers = Numbers(max(1, usable() - 1), usable(), Config().step, SLOTS, CONTEXT)
    print(describe(*PACKAGES))
    print(f"{found.path.name}, {numbers}, {flags.runs} rounds in turns")
    print(f"inferq serves {served.path.name}")
    figure = Figure("weights", "Tokens a second, SmolLM2 in Q4_1", "what", "tokens/s", "inferq")
    costs: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        stack = closing.enter_context(running(folder, log_level="warning"))
        stack.start_gateway(processes=1)
        stack.start_worker(flags.model, **numbers.settings, as_is=int(flags.as_is))
        sides = [replace(over_tcp("inferq", stack.port), model=found.id)]
        port, bare = closing.enter_context(llama_cpp(found.path, numbers))
        sides.append(over_tcp("llama.cpp", port))
        if served.path != found.path:
            sides.append(over_tcp("llama.cpp, prepared", closing.enter_context(llama_cpp(served.path, numbers))[0]))
        for turn in range(flags.runs + 1):
            for count in (1, SLOTS):
                before = spent(stack, bare)
                for each in sides if turn % 2 else sides[::-1]:
                    tokens = TOKENS // 2 if flags.short else TOKENS
                    speed, _ = each.crowd([short_prompt() for _ in range(count)], tokens)
                    if turn:  # the first warms up
                        figure.add(each.name, f"{count} stream{'s' * (count > 1)}", speed)
                for part, seconds in spent(stack, bare).items():
                    took = (seconds - before[part]) / (count * tokens) * 1e6
                    costs.setdefault(str(count), {}).setdefault(part, []).extend([took] * bool(turn))
            for each in sides:
                speed = each.read(long_prompt())
                if turn:
                    figure.add(each.name, "a prompt", speed)
    print(f"\n{figure.title}\n\n{figure.table()}")
    print(f"\nCPU of each part, us a token\n\n{tell_costs(costs)}", flush=True)
    keep(flags, (figure,), *PACKAGES)


if __name__ == "__main__":
    main()
