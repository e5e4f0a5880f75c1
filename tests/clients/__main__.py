"""Clients that people use, unmodified, against a gateway with the real model and echo.

    python -m tests.clients [NAME ...] [--short] [--list] [--write-docs]

Each is installed once into an environment of its own, in the versions that clients.toml names. Its script makes every
check that it announces, or has failed. What cannot be installed here is told as not run, and never as passed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from tests import likelihoods
from tests.clients import page, table
from tests.clients.run import Outcome, try_client
from tests.clients.table import Client
from tests.stack import running

CLIENTS = table.read()
ECHO_RATE = 50
"""Tokens a second, so that an answer of twenty words comes in many pieces."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*CLIENTS]))
@click.option("--short", is_flag=True, help="those that install in seconds")
@click.option("--list", "listed", is_flag=True, help="say what there is")
@click.option("--write-docs", is_flag=True, help="write the results into docs/clients.md")
def main(names: Sequence[str], short: bool, listed: bool, write_docs: bool) -> None:
    """Try the clients by NAME, or all."""
    chosen = [CLIENTS[name] for name in names] or [client for client in CLIENTS.values() if client.short or not short]
    if listed:
        for client in chosen:
            print(f"{client.name:18} {' '.join(client.packages)}")
        return
    outcomes = []
    for outcome in play(chosen):
        outcomes.append(outcome)
        print(f"{outcome.client.name:18} {outcome.client.version:10} {outcome.seconds:5.0f} s  {outcome.result}")
        for name, why in outcome.failed:
            print(f"    FAILED {name}: {why}")
        sys.stdout.flush()
    if write_docs:
        page.PAGE.write_text(page.write(page.PAGE.read_text("utf-8"), CLIENTS, outcomes), "utf-8")
    broken = sum(outcome.broken for outcome in outcomes)
    left_out = sum(bool(outcome.not_run) for outcome in outcomes)
    checks = sum(len(outcome.planned) - len(outcome.failed) for outcome in outcomes)
    print(f"\n{checks} checks passed; {broken} clients failed, {left_out} not run")
    sys.exit(1 if broken or not checks else 0)


def play(clients: Sequence[Client]) -> Iterator[Outcome]:
    """Try each in its turn, so that the real model answers one at a time, and always the same."""
    with ExitStack() as stacks:
        urls = {measures: stacks.enter_context(serving(measures)) for measures in {c.measures for c in clients}}
        for client in clients:
            yield try_client(client, urls[client.measures])


@contextmanager
def serving(measures: bool) -> Iterator[str]:
    """The URL of a gateway, and behind it the models that clients are tried with; see `Client.measures`."""
    with (
        tempfile.TemporaryDirectory(prefix="clients-") as directory,
        running(Path(directory), log_level="warning") as stack,
    ):
        stack.start_gateway(processes=2)
        if measures:
            stack.start_worker(str(likelihoods.write(Path(directory))))
        else:
            stack.start_worker("echo", echo_rate=ECHO_RATE)
            stack.start_worker("smollm2", slots=1)
            stack.start_worker("minilm")
        yield stack.url


if __name__ == "__main__":
    main()
