"""The commands. Each imports what it needs when it runs, so that `inferq --help` is quick.

Those that serve are here. The tools, which look at, convert and try models, are modules of `inferq.tools`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from inferq.groups import Commands
from shared.catalogue import ARCHITECTURES
from shared.config import PREFIX, Config

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {option.name: option for option in dataclasses.fields(Config)}


def setting(name: str) -> Callable[[F], F]:
    """A flag for the setting `name` of `Config`."""
    option = _OPTIONS[name]
    limits = option.metadata
    number = isinstance(option.default, int)
    kind = click.IntRange(limits["low"], limits["high"]) if number else str
    note = f"{limits['help']}  [{PREFIX}{name.upper()}; {option.default}]"
    return click.option("--" + name, type=kind, metavar="N" if number else name[0].upper(), help=note)


def configure(**flags: Any) -> Config:
    """Flags that were given override `INFERQ_*`, which override the defaults."""
    given = {name: value for name, value in flags.items() if value is not None}
    return dataclasses.replace(Config.from_env(), **given)


engine_flag = click.option("--engine", metavar="E", help="what computes; by default it follows from the model")
arch_flag = click.option(
    "--arch",
    metavar="A",
    default="",
    help=f"what a legacy GGML file holds, where it does not tell: {', '.join(ARCHITECTURES)}",
)
chat_format_flag = click.option(
    "--chat-format", metavar="F", default="", help="how a chat becomes a prompt: a format's name, or a Jinja file"
)
as_is_flag = click.option(
    "--as-is",
    type=int,
    flag_value=1,
    default=None,
    help=f"serve weights as their files have them, though others be faster here  [{PREFIX}AS_IS]",
)
models_flag = click.option(
    "--models", "models_toml", metavar="PATH", help=f"a models.toml, or a folder  [{PREFIX}MODELS, or the user's own]"
)
parent_flag = click.option("--parent", type=int, hidden=True, help="pid of the process to end with")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="inferq", message="%(prog)s %(version)s")
def cli() -> None:
    """Serve language models on ordinary CPUs behind the OpenAI API."""


@cli.command()
@click.argument("models", nargs=-1, metavar="[MODEL|FILE]...")
@setting("host")
@setting("port")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="D", help="folder of the queue")
@click.option("--workers", type=click.IntRange(1, 64), default=1, metavar="N", help="workers a model  [1]")
@setting("slots")
@setting("context")
@setting("threads")
@engine_flag
@arch_flag
@chat_format_flag
@as_is_flag
@models_flag
@parent_flag
def up(
    models: tuple[str, ...],
    data_dir: Path | None,
    workers: int,
    engine: str | None,
    arch: str,
    chat_format: str,
    models_toml: str | None,
    parent: int | None,
    **flags: Any,
) -> None:
    """Serve models on this machine, with all that it takes.

    That is a gateway, the workers and, unless INFERQ_REDIS_URL names one, a Redis. A MODEL is a name out of `inferq
    models`; a FILE is in GGUF or a legacy GGML format. Without any, it loads those of --models when they are asked
    for, or else serves `smollm2`. When it answers, it prints the line `ready: http://HOST:PORT`. Ctrl-C ends all of it.
    """
    from inferq import selection, supervisor
    from shared import folders

    begin("inferq up", config := configure(models=models_toml, **flags), parent)
    names = models or (() if config.models else ("smollm2",))
    choice = selection.Selection(names, engine, arch, chat_format)
    sys.exit(supervisor.up(choice, config, folder=data_dir or folders.data(), workers=workers))


@cli.command()
@setting("host")
@setting("port")
@parent_flag
def gateway(parent: int | None, **flags: Any) -> None:
    """Run a gateway alone."""
    from inferq import port

    config = configure(**flags)
    begin("inferq gateway", config, parent)
    config = dataclasses.replace(config, port=port.find(config.host, config.port))

    from gateway import server

    sys.exit(server.main(config))


@cli.command()
@click.argument("model")
@setting("slots")
@setting("context")
@setting("threads")
@engine_flag
@arch_flag
@chat_format_flag
@as_is_flag
@models_flag
@click.option("--only-fetch", is_flag=True, hidden=True, help="fetch and prepare the model's file, and end")
@parent_flag
def worker(
    model: str,
    engine: str | None,
    arch: str,
    chat_format: str,
    models_toml: str | None,
    only_fetch: bool,
    parent: int | None,
    **flags: Any,
) -> None:
    """Run a worker alone.

    It holds MODEL: a name out of `inferq models`, a file, or hf:owner/repository.
    """
    from inferq import pull
    from inferq.weights import choose_weights
    from shared import catalogue

    config = configure(models=models_toml, **flags)
    begin(f"inferq worker {model}", config, parent)

    from worker import process

    def locate() -> catalogue.Model:
        found = catalogue.resolve(model, engine, architecture=arch, chat_format=chat_format, models_toml=config.models)
        return choose_weights(pull.provide(found), config, told=parent is not None)

    sys.exit(process.main(catalogue.announced(model, config.models), locate, config, only_fetch=only_fetch))


@cli.command("status")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="D", help="folder of the queue, as of `inferq up`")
@click.option("--json", "as_json", is_flag=True, help="print a JSON object")
@click.option("--watch", is_flag=True, help="show it live, until q or Ctrl-C")
def status_command(data_dir: Path | None, as_json: bool, watch: bool) -> None:
    """Show models, workers, queues, batches and the last failures.

    It asks the Redis that INFERQ_REDIS_URL names, or else that of `inferq up`; and the archive as `inferq check`.
    """
    from inferq import status

    status.show(status.local(data_dir, Config.from_env()), as_json=as_json, watch=watch)


@cli.command("check")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="D", help="folder of the queue, as of `inferq up`")
@click.option("--contents", is_flag=True, help="read all that is stored, and compare it with its checksums")
@click.option("--json", "as_json", is_flag=True, help="print a JSON object")
def check_command(data_dir: Path | None, contents: bool, as_json: bool) -> None:
    """Check that the books balance: of Redis and of the archive.

    Every job is in one state, every key has an owner or an end; what is stored is whole, and all of it is named.

    It asks the same Redis as `inferq status`, and the archive beside it, or that of INFERQ_ARCHIVE. It ends with
    status 1 when something does not balance.
    """
    from inferq import check, status

    config = status.local(data_dir, Config.from_env())
    sys.exit(0 if check.show(config, as_json=as_json, contents=contents) else 1)


def begin(title: str, config: Config, parent: int | None = None) -> None:
    from setproctitle import setproctitle

    from shared import logs

    if parent is not None:
        from shared.lifeline import die_with_parent

        die_with_parent(parent)
    setproctitle(title)
    logs.setup(config.log_level, config.log_format)
