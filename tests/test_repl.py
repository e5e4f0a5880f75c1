"""`inferq chat` and `inferq repl`, on a model and on a gateway, in scripts and at a terminal."""

from __future__ import annotations

import os
import readline
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import inferq, output
from tests.stack import Stack, children, running, wait_for
from tests.terminal import Terminal
from tests.tiny import TINY

GREEDY = ("-n", "6", "--temperature", "0", "--ignore-eos")


def refused(*arguments: str | Path, given: str = "hi\n") -> str:
    done = inferq(*arguments, given=given)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_chat_remembers_what_was_said() -> None:
    flags = ("chat", "-m", TINY, *GREEDY)
    first, second = output(*flags, given="def main\ndef main\n").split("\n", 1)
    assert output(*flags, given="def main\n/reset\ndef main\n") == f"{first}\n{first}\n"
    assert second.rstrip("\n") != first


def test_chat_has_a_system_message() -> None:
    flags = ("chat", "-m", TINY, *GREEDY)
    told = output(*flags, "--system", "import os", given="def main\n")
    assert told != output(*flags, given="def main\n")
    assert output(*flags, given="/system import os\ndef main\n") == told


def test_repl_forgets_and_frames(tmp_path: Path) -> None:
    flags = ("repl", "-m", TINY, *GREEDY)
    once = output(*flags, given="def main\n")
    assert output(*flags, given="def main\ndef main\n") == once * 2
    (tmp_path / "frame.txt").write_text("def {{PROMPT}}")
    assert output(*flags, "-f", tmp_path / "frame.txt", given="main\n") == once


def test_lines_go_on_after_a_backslash_and_commands_are_no_prompts() -> None:
    said = output("repl", "-m", "echo", given="one \\\ntwo\n\n/help\nthree\n/bye\nfour\n")
    assert said.startswith("one \ntwo\n")
    assert said.endswith("three\n")
    assert "Ctrl-C" in said


def test_on_a_gateway(echo: Stack) -> None:
    assert output("chat", "--url", echo.url, given="one two\nthree\n") == "one two\nthree\n"
    assert output("repl", "--url", f"{echo.url}/v1", "-m", "echo", "-n", "2", given="one two three\n") == "one two\n"
    assert "nothing" in refused("chat", "--url", echo.url, "-m", "nothing", given="")


def test_what_is_not_said_means_the_same_here_and_at_a_gateway(tmp_path: Path) -> None:
    flags = ("chat", "-n", "12", "--seed", "7")
    with running(tmp_path) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(str(TINY), slots=1)
        there = output(*flags, "--url", stack.url, given="def main\n")
    assert output(*flags, "-m", TINY, given="def main\n") == there


def test_a_model_without_a_template_needs_a_format(tmp_path: Path) -> None:
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(TINY.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_tempxxxx"))
    assert "give --chat-format" in refused("chat", "-m", bare)
    assert output("chat", "-m", bare, "--chat-format", "chatml", "-n", "3", given="hi\n")


def test_what_a_script_gets_wrong(tmp_path: Path) -> None:
    (tmp_path / "form").write_text("Q")
    assert "has no {{PROMPT}}" in refused("repl", "-m", "echo", "-f", tmp_path / "form")
    assert "Give a model" in refused("chat")
    assert "--threads" not in refused("chat", "--url", "x:1")
    assert "already" in refused("chat", "--url", "http://127.0.0.1:1", "--threads", "2")
    assert "`inferq up` serves" in refused("chat", "--url", "http://127.0.0.1:1")
    assert "`inferq up` serves" in refused("chat", "--url", "http://127.0.0.1:1", "-m", "echo", given="")


def test_the_system_message_is_shown() -> None:
    assert output("chat", "-m", "echo", "--system", "Be kind.", given="/system\n/system Be brief.\n/system\n") == (
        "Be kind.\nBe brief.\n"
    )


def test_a_gateway_with_keys(tmp_path: Path) -> None:
    with running(tmp_path, api_keys="me:secret") as stack:
        stack.start_gateway()
        stack.start_worker()
        words = "word " * 40 + "end\n"  # more than the 16 tokens that a completion has by default
        assert output("repl", "--url", stack.url, "--api-key", "secret", given=words) == words
        assert "key" in refused("repl", "--url", stack.url, "--api-key", "other", "-m", "echo", given="")


def test_line_editing_and_history() -> None:
    terminal = Terminal("repl", "-m", "echo")
    terminal.reads("> ")
    terminal.type("first\r")
    terminal.reads("first\r\n")  # as it was typed
    terminal.reads("first\r\n")
    terminal.reads("> ")
    terminal.type("\x10\x01my \r")  # the line before, at its beginning
    terminal.reads("my first\r\n")
    terminal.reads("> ")
    terminal.type("/quit\r")
    terminal.close()


@pytest.mark.skipif("GNU" not in str(readline.__doc__), reason="libedit does not know what is pasted")
def test_what_is_pasted_is_one_message() -> None:
    terminal = Terminal("chat", "-m", "echo", "--plain", TERM="xterm-256color")
    terminal.reads("> ")
    terminal.type("\x1b[200~/* one */\rtwo\r\rthree\x1b[201~")
    terminal.reads("three")
    terminal.type("\r")
    terminal.reads("/* one */\r\ntwo\r\n\r\nthree\r\n")
    terminal.reads("> ")
    terminal.type("\x04")
    terminal.close()


def test_a_conversation_that_is_too_long_says_how_to_go_on() -> None:
    terminal = Terminal("chat", "-m", str(TINY), "--context", "64", *GREEDY)
    long = "x " * 300  # more than the 256 tokens that llama.cpp makes of it
    for text, told in ((long, "Please shorten it.\r\n"), ("def", ""), (long, "it. /reset forgets")):
        terminal.reads("> ")
        terminal.type(f"{text}\n")
        terminal.reads(told)
    terminal.reads("> ")
    terminal.type("\x04")
    terminal.close()


def test_ctrl_c_stops_the_answer_and_not_the_program() -> None:
    terminal = Terminal("chat", "-m", "echo", INFERQ_ECHO_RATE="5")
    terminal.reads("> ")
    terminal.type("one two three four five six seven eight nine ten " * 9 + "\n")
    terminal.reads("\n")
    terminal.reads("one two")
    terminal.interrupt()
    terminal.reads("> ")
    terminal.type("short\n")
    terminal.reads("\n")
    terminal.reads("short")
    terminal.reads("> ")
    terminal.type("dropped")
    terminal.reads("dropped")
    terminal.interrupt(0.2)  # drops the line
    terminal.reads("> ")
    terminal.type("\x04")
    terminal.close()


def test_ctrl_c_cancels_the_job_at_the_gateway(served: Stack) -> None:
    served.start_worker(echo_rate=5)
    terminal = Terminal("chat", "--url", served.url, "-m", "echo")
    terminal.reads("> ")
    terminal.type("one two three four five six seven eight nine ten " * 9 + "\n")
    terminal.reads("\n")
    terminal.reads("one two")
    terminal.interrupt()
    wait_for(lambda: list(served.jobs().values()) == ["cancelled"], "the cancel")
    terminal.reads("> ")
    terminal.type("\x04")
    terminal.close()


def test_ctrl_c_stops_llama_cpp() -> None:
    terminal = Terminal("repl", "-m", str(TINY), "--token-bias", "1=100")  # "!!!…", no prompt
    terminal.reads("> ")
    [host] = children(terminal.child)
    for _ in range(3):
        os.kill(host, signal.SIGSTOP)  # so that the answer cannot end before it is interrupted
        terminal.type("a\r")
        terminal.reads("a\r\n")
        terminal.interrupt(0.5)
        os.kill(host, signal.SIGCONT)
        terminal.reads("> ")
    terminal.type("\x15/help\r")
    terminal.reads("/quit")
    terminal.type("/quit\r")
    terminal.close()


@pytest.mark.parametrize("command", ["chat", "repl"])
def test_ctrl_c_ends_a_script(command: str) -> None:
    inferq_command = [sys.executable, "-P", "-m", "inferq", command, "-m", "echo"]
    with subprocess.Popen(inferq_command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"hi\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hi\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
