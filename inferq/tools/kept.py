"""`inferq models`, `pull` and `rm`: the models that are kept on this machine."""

from __future__ import annotations

import sys

import click

from inferq.commands import as_is_flag, begin, configure, models_flag
from inferq.terminal import echo
from inferq.tools.flags import json_flag
from shared.errors import InvalidRequest


@click.command()
@json_flag
@models_flag
def models(as_json: bool, models_toml: str | None) -> None:
    """List the models that have names or are in the cache.

    Those are the models of models.toml or of a folder, the built-in ones, and what was fetched from the Hugging Face
    hub. Of what cannot be served it says why, as far as the beginnings of the files tell: nothing is loaded.
    """
    from inferq import models as listed

    begin("inferq models", config := configure(models=models_toml))
    rows = listed.rows(config)
    echo(listed.as_json(rows) if as_json else listed.as_table(rows))


@click.command()
@click.argument("model", default="smollm2")
@as_is_flag
@models_flag
def pull(model: str, as_is: int | None, models_toml: str | None) -> None:
    """Fetch a model and print its path.

    Where other weights would be faster on this CPU, they are prepared, as `inferq up` does.

    MODEL is a name out of `inferq models`, by default `smollm2`, or hf:owner/repository, with /FILE or :QUANTISATION
    behind it. Of a model on the Hugging Face hub it fetches the newest version. What has arrived is not fetched again
    after a break.
    """
    from inferq import pull as fetching
    from inferq.weights import choose_weights
    from shared import catalogue, progress

    begin("inferq pull", config := configure(models=models_toml, as_is=as_is))
    with progress.listen(lambda step: echo(f"{model}: {step}", err=True)):
        found = fetching.provide(catalogue.resolve(model, models_toml=config.models), anew=True)
        choose_weights(found, config, anew=True)
    echo(found.path or f"{model} needs no file")


@click.command()
@click.argument("names", metavar="MODEL...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="do not ask")
@models_flag
def rm(names: tuple[str, ...], yes: bool, models_toml: str | None) -> None:
    """Remove models from the cache, with what was made of them.

    MODEL is a name or a source out of `inferq models`. It can be fetched again. Files that were not fetched are not
    removed, and neither is what runs.
    """
    from inferq.kept import find_kept, remove
    from inferq.models import size_in_words

    begin("inferq rm", config := configure(models=models_toml))
    found = [find_kept(name, config.models) for name in names]
    for kept in found:
        echo(f"{kept.name}: {size_in_words(kept.size)}", err=True)
        for path in kept.files:
            echo(f"  {path}", err=True)
        if kept.shared:
            echo(f"  which {', '.join(kept.shared)} is as well", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidRequest("nobody is there to be asked; say --yes", param="rm")
        click.confirm("Remove?", abort=True, err=True)
    freed = sum([remove(kept) for kept in found])
    echo(f"{size_in_words(freed)} are free again")
