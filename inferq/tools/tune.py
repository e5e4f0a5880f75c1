"""`inferq tune`: what else makes a model faster on this machine."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from inferq.commands import configure, models_flag
from inferq.errors import StartError
from inferq.terminal import echo
from shared.cores import usable
from shared.errors import InferqError, InvalidRequest

if TYPE_CHECKING:
    from inferq.tune.candidates import Proposal
    from inferq.tune.rounds import Rounds, Trial
    from shared.catalogue import Model
    from shared.config import Config

_SIFTING = 0.6
"""Of the time, for finding out what promises something."""


@click.command()
@click.argument("model", metavar="MODEL|FILE")
@click.option("--seconds", type=click.IntRange(1), default=120, metavar="N", help="that measuring may take  [120]")
@click.option("--dry-run", is_flag=True, help="print only; write nothing")
@models_flag
def tune(model: str, seconds: int, dry_run: bool, models_toml: str | None) -> None:
    """Find out what makes a model faster on this machine, and write it into models.toml.

    Each candidate is measured against the settings as they are, in turns: a prompt of 256 tokens, an answer to it, and
    eight answers at once; half of them are told freely, half repeat what was asked. What is at least 1.05 times as
    fast, and slower in none of these, is written, with the numbers beside it. What changes answers is written where the
    model's perplexity stays within 0.1 %, else told. After Ctrl-C the file is as it was.
    """
    from inferq.tools.terminal import exit_quietly, show_status
    from inferq.tune import writing
    from shared.progress import listen

    config = configure(models=models_toml)
    with exit_quietly():
        own = _find(model, config)
        path = writing.target(config.models)
        if not dry_run:
            writing.check(path, own)
        with _telling(show_status) as tell, listen(lambda step: show_status(f"{own.id}: {step}")):
            from inferq.weights import choose_weights

            served, config = _prepare(choose_weights(own, config), config)
            changes, note = _measure(served, config, seconds, tell)
        if not changes:
            echo("Nothing pays: all stays as it is.")
        elif dry_run:
            echo(f"{path} would get, for {own.id}: {_shown(changes)}")
        else:
            writing.write(path, own, changes, note)
            echo(f"{path} has now, for {own.id}: {_shown(changes)}; workers that start from now on take it")


def _find(name: str, config: Config) -> Model:
    """The model, with its file. Raises InvalidRequest for one whose engine has nothing to try."""
    from inferq import pull
    from inferq.inspection import inspect_model
    from shared import catalogue
    from worker import engines

    model = inspect_model(pull.provide(catalogue.resolve(name, models_toml=config.models)))
    if (chosen := engines.choose(model)) != "llama.cpp":
        raise InvalidRequest(f"the engine {chosen} has nothing that could be tried; llama.cpp has")
    return model


def _prepare(model: Model, config: Config) -> tuple[Model, Config]:
    """With the settings that a worker would have now. Raises InvalidRequest."""
    from inferq.tune.rounds import LEAST_CONTEXT
    from worker import engines
    from worker.engines.llama_cpp_files import check_files

    files = check_files(model)
    if files.pooling:
        raise InvalidRequest("it makes vectors, whose batches fit by themselves; there is nothing to try")
    config = engines.fit(model, config)
    if (context := config.context or files.header.context_length or LEAST_CONTEXT) < LEAST_CONTEXT:
        raise InvalidRequest(f"its context has {context} tokens, and measuring takes {LEAST_CONTEXT}")
    return dataclasses.replace(model, path=files.path), config


def _measure(model: Model, config: Config, seconds: int, tell: Callable[[str], object]) -> tuple[dict[str, Any], str]:
    """The changes that pay, and what to write beside them."""
    from inferq.bench.machine import describe
    from inferq.tune.candidates import find_drafts, propose
    from inferq.tune.rounds import Rounds
    from shared import catalogue
    from worker.engines.own_builds import latest

    drafts = find_drafts(model, catalogue.list_models(config.models))
    rounds = Rounds(model, config, seconds, tell)
    try:
        sifted = rounds.try_all(list(propose(model, config, drafts, latest())), _SIFTING)
        again = rounds.try_all(_finalists(sifted, model, config), final=True)
        best = max((each for each in again if not each.why_not), key=lambda each: each.speed, default=None)
    finally:
        tell("")
        _show(rounds, describe("inferq", "xllamacpp"))
    if not any(trial.speeds for trial in rounds.trials):
        busy = os.getloadavg()[0] > usable()
        hint = "the machine is busy with other things; try it when it is not" if busy else "give it more --seconds"
        raise StartError(f"nothing could be measured in that time: {hint}")
    if best is None:
        return {}, ""
    least, most = min(best.speeds), max(best.speeds)
    day = time.strftime("%Y-%m-%d")
    return dict(best.candidate.changes), f"{best.speed:.2f} times as fast ({least:.2f} to {most:.2f}), {day}"


def _finalists(sifted: list[Trial], model: Model, config: Config) -> list[Proposal]:
    """The best of what promises something, and those of them together that pay by themselves."""
    from inferq.tune.candidates import Proposal
    from inferq.tune.rounds import FINALISTS, PAYS

    good = sorted((each for each in sifted if not each.why_not), key=lambda each: -each.speed)
    kept: list[Trial] = []
    for each in good:
        if len(kept) < FINALISTS and (not each.candidate.lossy or _is_harmless(each, model, config)):
            kept.append(each)
    together = dict[str, Any]()
    for each in kept:
        changes = each.candidate.changes
        if each.speed >= PAYS and not each.candidate.offer and not together.keys() & changes.keys():
            together |= changes
    found = [dataclasses.replace(each.candidate, name=f"once more: {each.candidate.name}") for each in kept]
    if together and all(together != each.changes for each in found):
        found.insert(0, Proposal("these together", together))
    return found


def _is_harmless(trial: Trial, model: Model, config: Config) -> bool:
    from inferq.tune.loss import MOST, loss

    try:
        trial.loss = loss(trial.candidate, model, config)
    except InferqError as exc:
        trial.failure = f"its loss cannot be measured: {exc}"
        return False
    if trial.loss > MOST:
        trial.failure = "an offer: it changes what the model answers"
    return trial.loss <= MOST


def _show(rounds: Rounds, machine: str) -> None:
    from inferq.bench.machine import spread
    from inferq.table import align

    rows = [["WHAT", "PROMPT", "ONE ANSWER", "SEVERAL", "TIMES AS FAST", "ROUNDS", ""]]
    for trial in rounds.trials:
        told = (trial.prompt, trial.answer, trial.together, trial.speeds)
        figures = [spread(each) if each else "-" for each in told]
        loss = "" if trial.loss is None else f"; perplexity {trial.loss:+.2%}"
        rows.append([trial.candidate.name, *figures, str(len(trial.speeds)), trial.verdict + loss])
    if rounds.trials:
        echo(align(rows))
        echo(f"times as fast as now: medians of rounds in turns (least to most); on {machine}")


def _shown(changes: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value!r}" if value is not None else f"no {key}" for key, value in changes.items())


@contextmanager
def _telling(tell: Callable[[str], object]) -> Iterator[Callable[[str], object]]:
    try:
        yield tell
    finally:
        tell("")
