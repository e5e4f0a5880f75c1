"""The entry point: no error leaves it as a stack trace, and neither does Ctrl-C."""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 128 + signal.SIGINT
"""The exit status that a shell expects of who was interrupted."""


def main() -> None:
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # also while all of it is imported
        sys.exit(INTERRUPTED)


def _run() -> int:
    from inferq import layout

    if problem := layout.intruder():
        sys.stderr.write(f"inferq: {problem}\n")
        return 2

    # Only now: the packages are known to be ours.
    import click

    from inferq.commands import cli
    from inferq.errors import exit_status
    from inferq.terminal import echo
    from shared import logs
    from shared.errors import InferqError

    logs.setup("warning", "text")  # until a command says otherwise: what Python does by itself would steer a terminal
    try:
        return int(cli(prog_name="inferq", standalone_mode=False) or 0)
    except InferqError as exc:
        at_fault = f"{exc.param}: " if exc.param else ""
        echo(f"inferq: {at_fault}{exc}", err=True)
        return exit_status(exc)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
