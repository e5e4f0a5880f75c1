"""What a newcomer meets: how to begin, what goes on meanwhile, what was meant, and a way out."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferq.welcome import Waiting
from shared import checksums, progress
from shared.card import Card
from shared.errors import ModelLoadError
from shared.nearest import nearest
from shared.registry import Worker
from tests.calls import problem
from tests.commands import environment, inferq
from tests.stack import Stack, wait_for
from tests.up import Up, up
from worker.engines.host import EngineHost

ROOT = Path(__file__).parent.parent
KEY = "sk-somebody-0123456789"


class TestUp:
    def test_it_tells_how_to_begin(self, tmp_path: Path) -> None:
        with up(tmp_path / "data", "echo", "--port", "0", INFERQ_API_KEYS=f"me:{KEY}") as started:
            url = started.ready()  # alone on stdout, as `finish` sees below
            assert f"base URL  {url}/v1\n" in started.log
            assert "models    echo\n" in started.log
            [line] = re.findall(r"^ *(curl .*)$", started.log, re.MULTILINE)
            environ = environment(OPENAI_API_KEY=KEY)
            done = subprocess.run(["bash", "-c", line], env=environ, capture_output=True, text=True, check=True)
            assert '"content":"Hello!"' in done.stdout
            assert KEY not in started.log
            started.process.send_signal(signal.SIGINT)
            assert started.finish() == (0, "")
        assert "not ready yet: echo: \n" not in started.log

    def test_a_log_for_programs_has_nothing_else(self, tmp_path: Path) -> None:
        with up(tmp_path / "data", "echo", "--port", "0", INFERQ_LOG_FORMAT="json") as started:
            url = started.ready()
            assert f'"base_url": "{url}/v1", "models": ["echo"]' in started.log
            assert all(line.startswith("{") for line in started.log.splitlines())

    def test_ctrl_c_while_a_model_is_fetched(self, tmp_path: Path) -> None:
        """From an index that takes the request, and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as index:
            settings = {"PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}", "PIP_CONFIG_FILE": os.devnull}
            settings |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PIP_FIND_LINKS": "", "PIP_NO_INDEX": ""}
            fetching = Up(tmp_path / "data", "smollm2", "--port", "0", **settings)
            wait_for(lambda: "fetching smollm2" in fetching.log, "the beginning")
            index.settimeout(60)
            with index.accept()[0]:
                os.killpg(fetching.process.pid, signal.SIGINT)
                assert fetching.finish() == (130, "")
        assert "Traceback" not in fetching.log
        assert not list((tmp_path / "cache").rglob("partial-*"))


class TestWaiting:
    def test_it_is_never_silent_for_long(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        caplog.set_level("INFO")
        waiting, silence, told, lines = Waiting(["echo", "big"]), 0.0, 0, list[str]()
        card = Card("echo", "echo", "", 1, 1, 0)
        there = [
            None,
            [],
            [Worker("b", "big", "", 1, 0), Worker("e", "echo", "", 1, 0, card)],
            [Worker("b", "big", "", 1, 0, reason="it loads the model"), Worker("e", "echo", "", 1, 0, card)],
            [Worker("b", "big", "", 1, 0, card), Worker("e", "echo", "", 1, 0, card)],
        ]
        for workers in there:
            lines += caplog.messages
            caplog.clear()
            for _ in range(95):
                clock[0] += 0.1
                waiting.look(workers)
                silence = 0.0 if len(caplog.records) > told else silence + 0.1
                told = len(caplog.records)
                assert silence < 10
            told = 0
        assert len(lines) >= 3
        assert not [line for line in lines if line.endswith(": ")]

    def test_a_failure_is_told_at_once(self, caplog: pytest.LogCaptureFixture) -> None:
        Waiting(["big"]).look([Worker("b", "big", "", 1, 0, reason="it cannot be loaded", detail="/x.gguf: no")])
        assert caplog.messages == ["not ready yet: big: /x.gguf: no"]


class TestProgress:
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of others")
    def test_a_host_that_reads_its_weights(self, tmp_path: Path) -> None:
        weights = tmp_path / "weights"
        weights.write_bytes(b"w" * (256 << 20))
        told: list[str] = []

        def tell(step: progress.Step) -> None:
            told.append(text := str(step))
            if re.search(r": [456]\d %", text):
                (tmp_path / "on").touch()

        reads = [str(weights), str(tmp_path)]
        with progress.listen(tell, 0.05):
            host = EngineHost("tests.fixtures.slow_host", "slow", {"path": str(weights), "reads": reads})
        host.close()
        assert any(re.fullmatch(r"its weights are being read: [456]\d % of 268 MB", text) for text in told), told

    def test_a_file_that_is_checked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        file, told = tmp_path / "file", list[str]()
        file.write_bytes(b"w" * (1 << 28))
        with progress.listen(lambda step: told.append(str(step)), 0.05):
            found = checksums.digest(file)
        assert found == checksums.digest(file)
        assert told
        assert all(re.fullmatch(r"its file is being checked(: \d+ % of 268 MB| \(\d+ s\))", text) for text in told)

    def test_nobody_listens(self) -> None:
        with progress.step("nothing") as taken:
            taken.advance(1)
        assert taken.done == 1


def test_a_library_that_the_system_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare Debian has no OpenMP."""
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelLoadError, match="apt-get install libgomp1") as refused:
        EngineHost("worker.engines.llama_cpp_host", "bare", {"path": "model.gguf"})
    assert "Traceback" not in str(refused.value)


class TestMeant:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("SmolLM2", "smollm2"),
            ("smol_lm2", "smollm2"),
            ("smolm2", "smollm2"),
            ("ehco", "echo"),
            ("gpt-4o", ""),
            ("", ""),
        ],
    )
    def test_a_name_with_a_slip(self, name: str, meant: str) -> None:
        assert nearest(name, ["smollm2", "echo"]) == meant

    def test_at_the_command_line(self, tmp_path: Path) -> None:
        (tmp_path / "Tiny-Llama.gguf").touch()
        for arguments, meant in (
            (("up", "Smollm2"), "smollm2"),
            (("infer", "-m", "ehco", "-p", "x"), "echo"),
            (("pull", "smolm2"), "smollm2"),
            (("worker", "Echo"), "echo"),
            (("infer", "-m", tmp_path / "tiny-llama.gguf"), str(tmp_path / "Tiny-Llama.gguf")),
            (("chatt",), "chat"),
        ):
            done = inferq(*arguments)
            assert f"Did you mean {meant!r}?" in done.stderr, done
            assert done.returncode == 2


class TestHelp:
    def test_what_one_meets_first_stands_first_and_nothing_is_cut(self) -> None:
        shown = inferq("--help").stdout
        assert "..." not in shown.replace("[ARGS]...", "")
        names = re.findall(r"^  ([a-z]+)  +\S", shown, re.MULTILINE)
        assert names[:6] == ["up", "chat", "infer", "models", "pull", "status"]
        assert len(names) == len(set(names)) >= 15
        assert max(map(len, shown.splitlines())) <= 80

    def test_every_command_is_in_a_group(self) -> None:
        from inferq.commands import cli

        shown = set(cli.list_commands(None))  # type: ignore[arg-type]  # it reads no context
        assert set(cli.commands) <= shown


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded"])
def test_a_415_shows_the_header(echo: Stack, kind: str) -> None:
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "x"}]}'
    answer = echo.http().post("/v1/chat/completions", content=body, headers={"Content-Type": kind} if kind else {})
    assert "-H 'Content-Type: application/json'" in problem(answer, 415)["message"]


class TestSetUp:
    """deploy/install.py, with steps that are no pip."""

    def start(self, step: str) -> subprocess.Popen[str]:
        script = f"import install, sys; install.PERIOD = 0.3; install.run('a step', [sys.executable, '-c', {step!r}])"
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "deploy")}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        return subprocess.Popen([sys.executable, "-c", script], env=environ, **options)  # type: ignore[call-overload,no-any-return]  # options as a dict

    def test_a_step_tells_that_it_goes_on(self) -> None:
        said, _ = self.start("import time; time.sleep(1.5)").communicate(timeout=60)
        assert len(said.splitlines()) >= 4
        assert re.search(r"a step: done in \d+ s\n$", said)

    def test_a_step_that_fails_shows_why(self) -> None:
        failing = self.start("import sys; sys.exit('no network')")
        assert "no network" in failing.communicate(timeout=60)[1]
        assert failing.returncode == 1

    def test_ctrl_c(self) -> None:
        sleeping = self.start("import time; time.sleep(60)")
        assert sleeping.stdout is not None
        sleeping.stdout.readline()
        os.killpg(sleeping.pid, signal.SIGINT)
        said, errors = sleeping.communicate(timeout=30)
        assert (sleeping.returncode, errors) == (130, "")
        assert "interrupted" in said
