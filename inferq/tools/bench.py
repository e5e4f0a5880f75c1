"""`inferq bench`: how fast a server answers, alone or beside another one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from inferq.commands import arch_flag, chat_format_flag, engine_flag, models_flag, setting
from inferq.terminal import drawable, echo, harmless
from inferq.tools.flags import json_flag
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.console import Group

    from inferq.bench.contender import Contender
    from inferq.bench.report import Findings

_MOST = 2
"""Servers that are measured in turns."""


class _Counts(click.ParamType[Any]):
    """Numbers with commas between them."""

    name = "counts"

    def __init__(self, most: int) -> None:
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            counts = [int(each) for each in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not of the form 1,4,16", param, ctx)
        if not all(1 <= count <= self._most for count in counts):
            self.fail(f"each is a number from 1 to {self._most}", param, ctx)
        return tuple(dict.fromkeys(counts))


@click.command()
@click.argument("targets", nargs=-1, metavar="[URL|MODEL] [URL|MODEL]")
@click.option(
    "--key", "keys", multiple=True, metavar="K", help="for the URLs; one for each, or one for all  [OPENAI_API_KEY]"
)
@click.option(
    "--model", "served", multiple=True, metavar="M", help="for the URLs, likewise  [the first of its /v1/models]"
)
@click.option("--clients", type=_Counts(256), default="1,4,16", metavar="N,N", help="at one time  [1,4,16]")
@click.option(
    "--prompt-tokens", type=_Counts(1_000_000), default="128", metavar="N,N", help="about so long prompts  [128]"
)
@click.option("--tokens", type=click.IntRange(2, 65_536), default=64, metavar="N", help="of each answer  [64]")
@click.option("--rounds", type=click.IntRange(1, 1000), default=3, metavar="N", help="over which figures spread  [3]")
@click.option(
    "--seconds", type=click.IntRange(1), default=180, metavar="N", help="after which nothing new is begun  [180]"
)
@click.option("--cached", is_flag=True, help="prompts that begin alike, for caches of prefixes")
@json_flag
@click.option("--markdown", is_flag=True, help="print Markdown")
@setting("slots")
@setting("threads")
@engine_flag
@arch_flag
@chat_format_flag
@models_flag
def bench(
    targets: tuple[str, ...],
    keys: tuple[str, ...],
    served: tuple[str, ...],
    clients: Sequence[int],
    prompt_tokens: Sequence[int],
    tokens: int,
    rounds: int,
    seconds: int,
    cached: bool,
    as_json: bool,
    markdown: bool,
    **flags: Any,
) -> None:
    """Measure how fast a server answers, or two in turns.

    URL is any server of the OpenAI API, with or without /v1; MODEL a name out of `inferq models`, or a file, for
    which all that it takes is started, and ended. Without either it is the gateway of `inferq up` on this machine. Of
    the second one the ratios to the first are told, round by round.

    It prints the time to the first token, tokens a second and the gaps between them. It ends with status 1 when a
    request failed, and after Ctrl-C with what was measured until then.
    """
    import asyncio

    from inferq.bench.bursts import Bench, Plan
    from inferq.bench.report import Findings
    from inferq.tools.terminal import exit_quietly, show_status

    if len(targets) > _MOST:
        raise click.UsageError(f"At most {_MOST} servers are measured in turns.")
    plan = Plan(clients, prompt_tokens, tokens, rounds, seconds, cached)
    with exit_quietly(), ExitStack() as closing:
        contenders = closing.enter_context(_contenders(targets or (_usual(),), keys, served, flags))
        run = Bench(contenders, plan)
        findings = Findings(run)
        drawn = not (as_json or markdown) and (console := drawable())
        try:
            with _watching(findings, console) if drawn and console else _telling(show_status) as run.watch:
                asyncio.run(run.run())
        finally:
            if run.bursts:
                _show(findings, as_json=as_json, markdown=markdown, drawn=bool(drawn))
    if findings.failed:
        click.get_current_context().exit(1)


def _usual() -> str:
    from shared.config import Config

    config = Config.from_env()
    return f"http://{config.host}:{config.port}"


@contextmanager
def _contenders(
    targets: Sequence[str], keys: tuple[str, ...], served: tuple[str, ...], flags: dict[str, Any]
) -> Iterator[list[Contender]]:
    from inferq.batches.stack import fetch, locate, private_gateway, words
    from inferq.bench.contender import Contender

    urls = [target for target in targets if "://" in target]
    if len(urls) == len(targets):
        for flag in words(flags):
            raise InvalidRequest("a server that runs has loaded its model; leave it out", param=flag)
    usual = os.environ.get("OPENAI_API_KEY")
    keys = keys or ((usual,) if usual and urls else ())
    its_key, its_model = _shared_out(urls, keys, "--key"), _shared_out(urls, served, "--model")
    with ExitStack() as closing:
        found = []
        for target in targets:
            if target in urls:
                found.append(Contender(target, target, next(its_key), next(its_model)))
                continue
            fetch(model := locate(target, flags))
            folder = Path(closing.enter_context(TemporaryDirectory(prefix="inferq-bench-")))
            own = closing.enter_context(private_gateway(folder, target, flags))
            found.append(Contender(target, own.url, own.key, model.id))
        yield found


def _shared_out(urls: list[str], given: tuple[str, ...], flag: str) -> Iterator[str | None]:
    """What was given for each of the URLs: one for each, one for all, or nothing."""
    if given and len(given) not in (1, len(urls)):
        raise InvalidRequest("give it once, or once for each URL", param=flag)
    if given and not urls:
        raise InvalidRequest("it is for URLs; leave it out", param=flag)
    return iter(given if len(given) == len(urls) else (given or (None,)) * len(urls))


@contextmanager
def _telling(tell: Callable[[str], object]) -> Iterator[Callable[[str], object]]:
    """A line on stderr, if that is a terminal."""
    try:
        yield tell
    finally:
        tell("")


@contextmanager
def _watching(findings: Findings, console: Any) -> Iterator[Callable[[str], object]]:
    """The tables, drawn anew as they fill."""
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=False) as view:

        def tell(what: str) -> None:
            view.update(_drawn(findings, what), refresh=True)

        try:
            yield tell
        finally:
            tell("")


def _drawn(findings: Findings, doing: str) -> Group:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    for found in findings.tables():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in found.head:
            table.add_column(title)
        for row in found.rows:
            table.add_row(*(Text(harmless(cell)) for cell in row))
        parts.append(table)
    return Group(*parts, *([Text(harmless(doing), style="dim")] if doing else []))


def _show(findings: Findings, *, as_json: bool, markdown: bool, drawn: bool) -> None:
    """Those tables that do not stand there yet, and what is to be known of them."""
    from inferq.table import align

    if as_json:
        echo(json.dumps(findings.as_object(), indent=2))
        return
    for found in findings.tables() if not drawn else ():
        echo((found.as_markdown() if markdown else align([found.head, *found.rows])) + "\n")
    for line in findings.lines():
        echo(f"- {line}" if markdown else line)
