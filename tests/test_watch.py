"""`inferq status --watch` at a terminal."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from shared.keys import Key
from tests.calls import CHATS, chat, post_later
from tests.stack import Stack, running, wait_for
from tests.terminal import Display, Terminal

BEGIN, END, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("watch"), slots=2, echo_rate=20) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


def watch(stack: Stack, rows: int = 24, columns: int = 80, **environ: str) -> Terminal:
    url = {"INFERQ_REDIS_URL": str(stack.settings["redis_url"])}
    return Terminal("status", "--watch", rows=rows, columns=columns, **{"TERM": "xterm-256color", **url, **environ})


def page(terminal: Terminal, rows: int, columns: int) -> list[str]:
    """The last whole one that it has drawn; of another size are the first after a change of it, at most."""
    for _ in range(10):
        terminal.reads(HOME)
        display = Display(rows, columns)
        display.feed(HOME + terminal.written.split(HOME)[-2])
        if len(display.lines) <= rows:
            return [line.rstrip() for line in display.lines]
    raise AssertionError("it does not fit")


def test_it_shows_what_the_overview_tells(stack: Stack) -> None:
    http = stack.http()
    assert http.post(CHATS, json=chat("one two three")).status_code == 200
    assert http.post(CHATS, json=chat("w " * 40_000)).status_code == 400
    jobs = [post_later(http, "word " * 4000) for _ in range(15)]
    wait_for(lambda: stack.state(jobs[1]) == "in_progress", "the start")
    terminal = watch(stack)
    for words in (BEGIN, "echo", "2/2", "13 d", "ready", "chatcmpl-", "runs ", "1. waits ", " more", "context_len"):
        terminal.reads(words)
    [moment] = [http.get("/v1/overview").json()]
    [model] = moment["models"]
    terminal.reads(HOME)
    terminal.reads(HOME)
    lines = page(terminal, 24, 80)
    [row] = [line for line in lines if re.match(r"echo +█", line)]
    assert f" {model['minute']['requests']} " in row
    assert str(moment["workers"][0]["pid"]) in "\n".join(lines)
    assert not re.search(r"\x1b\[[0-3]?J", terminal.written), "what is wiped away flickers"

    terminal.resize(10, 40)
    small = page(terminal, 10, 40)
    assert any(line.startswith("echo") for line in small)
    assert not terminal.echoes
    terminal.interrupt()
    terminal.close()
    assert terminal.written.rstrip().endswith(("\x1b[?25h", END))
    assert "Traceback" not in terminal.written
    for job in jobs:
        http.delete(f"/v1/jobs/{job}")


def test_names_and_reasons_do_not_steer_the_terminal(stack: Stack) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[bold red]\u202eX[/]\nnext"
    fields = {"job": "j", "model": evil, "worker": "w", "code": evil, "message": f"{evil} end", "owner": evil}
    stack.redis.xadd(Key.FAILURES, {name: value.encode() for name, value in fields.items()})
    terminal = watch(stack, rows=40, columns=200, COLORTERM="truecolor")
    terminal.reads("[bold red]")
    terminal.type("q")
    terminal.close()
    assert not any(steer in terminal.written for steer in ("\x1b]", "\x07", "\x1b[2J", "\u202e"))
    assert END in terminal.written
    stack.redis.delete(Key.FAILURES)


def test_without_colours_and_without_a_terminal_that_can_be_drawn_on(stack: Stack) -> None:
    terminal = watch(stack, NO_COLOR="1", PYTHONIOENCODING="ascii")
    terminal.reads("/2")
    terminal.child.send_signal(signal.SIGTERM)
    terminal.close(143)
    assert "...." in terminal.written
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;[0-9;]*)m", terminal.written)
    assert END in terminal.written
    dumb = watch(stack, TERM="dumb")
    dumb.reads("RECOVERED")  # as `inferq status`
    dumb.reads("RECOVERED")
    dumb.interrupt()
    dumb.close()
    assert "\x1b" not in dumb.written


def test_it_goes_on_after_an_outage(served: Stack) -> None:
    terminal = watch(served)
    terminal.reads("no models")
    served.valkey.kill()
    served.valkey.wait()
    terminal.reads("Redis does not answer")
    served.start_valkey()
    terminal.reads("p50 / p95")
    terminal.type("q")
    terminal.close()
