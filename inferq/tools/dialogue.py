"""The loop of `inferq chat` and `inferq repl`: read what the user types, print the answer, until the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from inferq.terminal import echo
from inferq.tools.answers import Answers, interruptible
from inferq.tools.prompt import inputs, interactive
from inferq.tools.views import AnswerView, PlainAnswer
from shared.errors import InferqError, JobCancelled
from shared.protocol import TextTask

_ENDS = ("quit", "exit", "bye")
"""As other programs call it, too."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a line that begins with `/` and its name does with the rest of the line."""

    help: str
    act: Callable[[str], None]


def hold(
    answers: Answers,
    task: Callable[[str], TextTask],
    commands: Mapping[str, Command],
    heard: Callable[[str, str], None] = lambda asked, answered: None,
    view: Callable[[], AnswerView] = PlainAnswer,
    way_out: Callable[[InferqError], str] = lambda error: "",
) -> None:
    """Return at the end of the input or at /quit. A `view` shows one answer.

    `heard` is told what was said, also the part of what was stopped.

    At a terminal an error ends the answer, and is told with the `way_out` that there may be; elsewhere it ends the
    program.
    """
    if interactive():
        echo("/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends it", err=True)
    for text in inputs():
        name, rest = _split(text)
        if name in _ENDS:
            return
        if name == "help":
            _help(commands)
        elif name in commands:
            commands[name].act(rest.strip())
        elif name:
            echo(f"there is no /{name}; /help lists what there is", err=True)
        else:
            try:
                heard(text, _show_answer(answers, task(text), view()))
            except InferqError as exc:
                if not interactive():
                    raise
                echo(f"inferq: {exc}{way_out(exc)}", err=True)


def _split(text: str) -> tuple[str, str]:
    """The name of a command and what stands behind it; empty where it is none, but a path or a comment of C."""
    name, _, rest = text[1:].partition(" ") if text.startswith("/") else ("", "", "")
    return (name, rest) if name.isalpha() else ("", "")


def _help(commands: Mapping[str, Command]) -> None:
    for name, command in commands.items():
        echo(f"/{name:8} {command.help}")
    echo("/help     this list\n/quit     end, as Ctrl-D")
    echo("A line that ends with \\ goes on in the next. Ctrl-C ends an answer.")


def _show_answer(answers: Answers, task: TextTask, view: AnswerView) -> str:
    """Show the answer as it comes; the text of it without its thoughts, as far as it came."""
    with view, suppress(JobCancelled), interruptible(answers):
        for event in answers.answer(task):
            view.take(event)
    return view.text
