"""`inferq infer`: every flag by its effect, on a tiny model in a real engine host."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from tests.stack import children, wait_for
from tests.tiny import TINY

PROMPT = "Hello world, this is a prompt"
INFER = (sys.executable, "-P", "-m", "inferq", "infer")


def run(*arguments: Any, given: str | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*INFER, "-m", str(TINY), *map(str, arguments)]
    done = subprocess.run(command, input=given or "", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def infer(*arguments: Any) -> dict[str, Any]:
    done = run("-p", PROMPT, "-n", 24, "--temperature", 0, "--ignore-eos", "--json", *arguments)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return infer()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "adapter.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    numbers = np.random.default_rng(3)
    writer.add_tensor("blk.0.attn_q.weight.lora_a", numbers.normal(size=(4, 128)).astype("<f4"))
    writer.add_tensor("blk.0.attn_q.weight.lora_b", numbers.normal(size=(128, 4)).astype("<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, as if it had been trained for 1024 tokens."""
    key = b"llama.context_length" + struct.pack("<I", 4)
    blob = TINY.read_bytes()
    at = blob.index(key) + len(key)
    path = tmp_path_factory.mktemp("roomy") / "roomy.gguf"
    path.write_bytes(blob[:at] + struct.pack("<I", 1024) + blob[at + 4 :])
    return path


def test_json(plain: dict[str, Any]) -> None:
    assert plain["model"] == "tiny-llama"
    assert len(plain["tokens"]) == plain["usage"]["completion_tokens"] == 24
    assert plain["finish_reason"] == "length"
    assert plain["usage"]["prompt_tokens"] > 0
    assert plain["usage"]["cached_tokens"] == 0


def test_prompt_and_answer_are_printed(plain: dict[str, Any]) -> None:
    same = ("-n", 24, "--temperature", 0, "--ignore-eos")
    assert run("-p", PROMPT, *same).stdout == f"{PROMPT}{plain['text']}\n"
    assert run(*same, "--hide-prompt", given=PROMPT).stdout == f"{plain['text']}\n"


def test_a_file_with_a_place_for_the_prompt(tmp_path: Path) -> None:
    file = tmp_path / "form.txt"
    file.write_text("Q: {{PROMPT}}\nA:")
    assert run("-f", file, "-p", "why?", "-n", 1).stdout.startswith("Q: why?\nA:")
    assert "give --prompt" in run("-f", file, status=2).stderr
    file.write_bytes(b"\xff")
    assert "not UTF-8" in run("-f", file, status=2).stderr
    assert "cannot be read" in run("-f", tmp_path / "none", status=2).stderr


def test_architecture_before_the_flags() -> None:
    assert run("llama", "-p", "a", "-n", 1).stdout.startswith("a")
    assert "at once" in run("llama", "--arch", "mpt", "-p", "a", status=2).stderr
    assert "no architecture 'lama'" in run("lama", "-p", "a", status=2).stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--rope-freq-base", 100),
        ("--rope-freq-scale", 0.25),
        ("--repeat-penalty", 5),
        ("--presence-penalty", 2),
        ("--frequency-penalty", 2),
    ],
    ids=lambda flags: str(flags[0]),
)
def test_changes_the_likeliest_answer(flags: tuple[Any, ...], plain: dict[str, Any]) -> None:
    assert infer(*flags)["tokens"] != plain["tokens"]


def test_sampling(plain: dict[str, Any]) -> None:
    hot = ("--temperature", 2)
    one, again, other = infer(*hot, "--seed", 1), infer(*hot, "--seed", 1), infer(*hot, "--seed", 2)
    assert one["tokens"] == again["tokens"] != other["tokens"]
    # Each of them leaves only the likeliest token, however hot it is.
    for flags in (("--top-k", 1), ("--top-p", 0), ("--min-p", 1)):
        assert infer(*hot, *flags)["text"] == plain["text"]
    assert infer(*hot, "--seed", 1, "--typical-p", 0.1)["tokens"] != one["tokens"]


def test_token_bias_stop_and_limit(plain: dict[str, Any]) -> None:
    first = plain["tokens"][0]
    assert first not in infer("--token-bias", f"{first}=-100,1=0")["tokens"]
    assert set(infer("--token-bias", "1=100")["tokens"]) == {1}
    assert "512 is no token" in run("-p", "a", "--token-bias", "512=1", status=2).stderr
    stopped = infer("--token-bias", "1=100", "--stop", "!!!")
    assert (stopped["text"], stopped["finish_reason"]) == ("", "stop")
    assert len(infer("-n", 3)["tokens"]) == 3


def test_ignore_eos() -> None:
    ends = ("-p", PROMPT, "-n", 5, "--token-bias", "0=100", "--json")
    assert json.loads(run(*ends).stdout)["finish_reason"] == "stop"
    assert json.loads(run(*ends, "--ignore-eos").stdout)["finish_reason"] == "length"


def test_lora(adapter: Path, plain: dict[str, Any]) -> None:
    assert infer("--lora", adapter)["tokens"] != plain["tokens"]
    assert infer("--lora", f"{adapter}=0")["tokens"] == plain["tokens"]
    assert "no LoRA adapter" in run("-p", "a", "--lora", TINY, status=2).stderr
    assert "cannot be read" in run("-p", "a", "--lora", "none.gguf", status=2).stderr


def test_a_draft_changes_nothing(plain: dict[str, Any], smollm2_path: Path) -> None:
    assert infer("--draft", TINY)["tokens"] == plain["tokens"]
    assert "another vocabulary" in run("-p", "a", "--draft", smollm2_path, status=1).stderr


def test_engines_that_take_none_say_so() -> None:
    assert "echo takes no RoPE base" in run("-m", "echo", "-p", "a", "--rope-freq-base", 5, status=2).stderr
    assert "echo has none" in run("-m", "echo", "-p", "a", "--batch-size", 16, status=2).stderr
    assert "echo has no sessions" in run("-m", "echo", "-p", "a", "--session", "x", status=2).stderr


def test_context(roomy: Path) -> None:
    command = ("-m", roomy, "-p", "!" * 300, "-n", 1)
    run(*command)
    assert "maximum context length is 256 tokens" in run(*command, "--num-ctx-tokens", 256, status=2).stderr


def test_a_session_spares_the_prompt(tmp_path: Path, plain: dict[str, Any], roomy: Path) -> None:
    file = tmp_path / "a.session"
    one = infer("--session", file)
    other = infer("--session", file)
    assert one["tokens"] == other["tokens"] == plain["tokens"]
    assert one["usage"]["cached_tokens"] == 0
    assert other["usage"]["cached_tokens"] == one["usage"]["prompt_tokens"] - 1
    assert "another model" in run("-m", roomy, "-p", "a", "--session", file, status=2).stderr
    blob = bytearray(file.read_bytes())
    blob[-5] ^= 1
    file.write_bytes(blob)
    assert "damaged" in run("-p", "a", "--session", file, status=2).stderr
    file.write_text("{}")
    assert "no session" in run("-p", "a", "--session", file, status=2).stderr
    assert "cannot save" in run("-p", "a", "-n", 1, "--session", tmp_path / "none" / "x", status=1).stderr


def test_stats() -> None:
    done = run("-p", PROMPT, "-n", 3, "--stats", "--hide-prompt", "--ignore-eos", "--seed", 1)  # an answer with text
    assert "answer: 3 tokens, ended by length" in done.stderr
    assert "tokens/s" in done.stderr


def test_batch_size(roomy: Path) -> None:
    def progress(size: int) -> int:
        primary, secondary = os.openpty()
        command = [*INFER, "-m", str(roomy), "-p", "!" * 400, "-n", "1", "--batch-size", str(size)]
        with subprocess.Popen(command, stderr=secondary, stdout=subprocess.DEVNULL) as child:
            os.close(secondary)
            shown = b""
            try:
                while block := os.read(primary, 4096):
                    shown += block
            except OSError:  # Linux's end of a terminal
                pass
            assert child.wait() == 0
        os.close(primary)
        return shown.count(b"reading the prompt")

    assert progress(16) > progress(200)


def threads_of(threads: int) -> int:
    command = [sys.executable, "-P", "-m", "inferq", "repl", "-m", str(TINY), "-n", "2", "--threads", str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"a\n")
        child.stdin.flush()
        child.stdout.readline()
        [host] = children(child)
        count = len(list(Path(f"/proc/{host}/task").iterdir()))
        child.stdin.close()
        assert child.wait(20) == 0
    return count


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_threads() -> None:
    assert threads_of(4) > threads_of(1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--temperature", "nan"), "no finite number"),
        (("--token-bias", "a=1"), "ID=BIAS"),
        (("--stop", ""), "end every answer"),
        (("-p", b"\xff"), "not UTF-8"),
    ],
)
def test_refusals(arguments: tuple[str | bytes, ...], reason: str) -> None:
    command: list[str | bytes] = [*INFER, "-m", str(TINY), "-p", "a", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def endless(**options: Any) -> subprocess.Popen[bytes]:
    """An answer that goes on for as long as the test does."""
    command = [*INFER, "-m", "echo", "-p", "on and " * 5000, "--hide-prompt"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_SLOW, **options)


_SLOW = {**os.environ, "INFERQ_ECHO_RATE": "50"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_without_a_trace(number: signal.Signals, status: int) -> None:
    with endless() as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(2) == b"on"
        child.send_signal(number)
        assert child.wait(10) == status
        assert child.stderr.read() == b""


def test_a_broken_pipe_ends_quietly() -> None:
    with endless() as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(2) == b"on"
        child.stdout.close()
        wait_for(lambda: child.poll() is not None, "the end")
        assert child.stderr.read() == b""


def test_nothing_stays_behind(tmp_path: Path) -> None:
    command = [*INFER, "-m", str(TINY), "-p", "a", "-n", "200", "--ignore-eos"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as child:
        assert child.stdout is not None
        [host] = wait_for(lambda: children(child), "the host")  # now: the answer may be over as soon as it begins
        assert child.stdout.read(1) == b"a"
        child.send_signal(signal.SIGINT)
        child.wait(10)
    wait_for(lambda: not Path(f"/proc/{host}").exists(), "the host's end")
    assert list(tmp_path.iterdir()) == []
