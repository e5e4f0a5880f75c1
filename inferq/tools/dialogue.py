"""The loop of `inferq chat` and `inferq repl`: read what the user types, print the answer, until the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inferq.terminal import echo
from inferq.tools.answers import Answers, interruptible
from inferq.tools.prompt import inputs, interactive
from inferq.tools.terminal import show_status
from shared.errors import InferqError, JobCancelled
from shared.protocol import Delta, Progress, TextTask


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
) -> None:
    """Return at the end of the input or at /quit. `heard` is told what was said, also the part of what was stopped.

    At a terminal an error ends the answer; elsewhere it ends the program.
    """
    if interactive():
        echo("/help lists the commands, Ctrl-D ends it", err=True)
    for text in inputs():
        name, _, rest = text[1:].partition(" ") if text.startswith("/") else ("", "", "")
        if name == "quit":
            return
        if name == "help":
            _help(commands)
        elif name in commands:
            commands[name].act(rest.strip())
        elif name:
            echo(f"there is no /{name}; /help lists what there is", err=True)
        else:
            try:
                heard(text, _print_answer(answers, task(text)))
            except InferqError as exc:
                if not interactive():
                    raise
                echo(f"inferq: {exc}", err=True)


def _help(commands: Mapping[str, Command]) -> None:
    for name, command in commands.items():
        echo(f"/{name:8} {command.help}")
    echo("/help     this list\n/quit     end, as Ctrl-D")
    echo("A line that ends with \\ goes on in the next. Ctrl-C ends an answer.")


def _print_answer(answers: Answers, task: TextTask) -> str:
    """Print the answer as it comes, without its thoughts; the text of it, as far as it came."""
    text, thought = "", 0
    try:
        with interruptible(answers):
            for event in answers.answer(task):
                if isinstance(event, Progress):
                    show_status(f"reading the prompt: {event.done}/{event.total}")
                elif isinstance(event, Delta) and event.reasoning:
                    thought += len(event.text)
                    show_status(f"thinking: {thought} characters")
                elif isinstance(event, Delta):
                    if not text:
                        show_status("")
                    text += event.text
                    echo(event.text, nl=False)
    except JobCancelled:
        show_status("")
    echo()
    return text
