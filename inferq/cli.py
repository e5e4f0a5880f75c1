"""The entry point: no error leaves it as a stack trace."""

from __future__ import annotations

import sys

from inferq import layout


def main() -> None:
    if problem := layout.intruder():
        sys.stderr.write(f"inferq: {problem}\n")
        sys.exit(2)

    # Only now: the packages are known to be ours.
    from inferq.commands import cli
    from inferq.errors import exit_status
    from inferq.terminal import echo
    from shared.errors import InferqError

    try:
        cli(prog_name="inferq")
    except InferqError as exc:
        at_fault = f"{exc.param}: " if exc.param else ""
        echo(f"inferq: {at_fault}{exc}", err=True)
        sys.exit(exit_status(exc))
