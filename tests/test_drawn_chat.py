"""`inferq chat` at a terminal that can be drawn on: Markdown while it comes, whole, and harmless."""

from __future__ import annotations

import re

from tests.calls import post_later
from tests.stack import Stack, wait_for
from tests.terminal import Display, Terminal

ACCOUNT = re.compile(r"\d+ tokens · [\d.]+ tokens/s · first after [\d.]+ s")


def converse(*arguments: str, lines: list[str]) -> Terminal:
    """What comes of one message of several lines."""
    terminal = Terminal("chat", *arguments, TERM="xterm-256color", NO_COLOR="")
    terminal.reads("> ")
    terminal.type("\\\n".join(lines) + "\n")
    return terminal


def scrolled(terminal: Terminal) -> list[str]:
    """All that was ever on the display, and is not drawn over."""
    display = Display(24, 80)
    display.feed(terminal.written)
    assert display.titles == 0
    return [line.rstrip() for line in display.lines]


def end(terminal: Terminal) -> None:
    terminal.reads("> ")
    terminal.type("\x04")
    terminal.close()


def test_markdown_is_set_and_nothing_of_a_long_answer_is_lost() -> None:
    items = [f"- item {number} of **many**" for number in range(60)]
    code = ["```python", "def twice(x):", '    return "x" * 2', "```"]
    terminal = converse("-m", "echo", lines=["# Title", "", *code, "", *items, "", "The <b>end</b> of `it`."])
    terminal.reads("first after")
    end(terminal)
    lines = scrolled(terminal)
    answer = lines[[line.strip() for line in lines].index("Title") :]
    assert [line.strip() for line in answer if "item" in line] == [f"• item {n} of many" for n in range(60)]
    assert "The <b>end</b> of it." in answer
    assert any("def twice(x):" in line for line in answer)
    assert not any("```" in line for line in answer)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m *def", terminal.written.replace("\x1b[94m", "\x1b[34m")), "no colours"
    assert any(ACCOUNT.fullmatch(line) for line in answer)


def test_what_a_model_writes_does_not_steer_the_terminal() -> None:
    evil = "&#x1b;]0;owned&#7; &#x9b;2J &#x202e;abc [bold]x[/bold] [here](http://evil.example/) END"
    terminal = converse("-m", "echo", lines=[evil])
    terminal.reads("first after")
    end(terminal)
    answer = "\n".join(scrolled(terminal))
    assert not any(steer in terminal.written for steer in ("\u202e", "\x9b", "\x1b]", "\x1b[2J"))
    assert answer.count("[bold]x[/bold]") == 2, "typed, and answered"
    assert "(http://evil.example/)" in answer


def test_it_tells_its_place_in_the_queue_and_what_was_stopped(served: Stack) -> None:
    served.start_worker(slots=1, echo_rate=20)
    job = post_later(served.http(), "word " * 4000)
    wait_for(lambda: served.state(job) == "in_progress", "the start")
    terminal = converse("--url", served.url, "-m", "echo", lines=["one " * 400])
    terminal.reads("1. in the queue")
    served.http().delete(f"/v1/jobs/{job}")
    terminal.reads("one one")
    terminal.interrupt()
    terminal.reads("stopped")
    end(terminal)


def test_a_plain_one_is_as_it_is_written() -> None:
    terminal = Terminal("chat", "-m", "echo", "--plain", TERM="xterm-256color", NO_COLOR="")
    terminal.reads("> ")
    terminal.type("**bold** `code`\n")
    terminal.reads("**bold** `code`")
    terminal.reads("**bold** `code`")
    end(terminal)
    assert "tokens/s" not in terminal.written
