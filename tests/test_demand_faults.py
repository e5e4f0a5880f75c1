"""What goes wrong with models on demand ends soon, in words, and keeps no other model out."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx2 as httpx

from tests.calls import problem
from tests.demand_watch import parents, title
from tests.hub import FILE, REPOSITORY, serving
from tests.stack import wait_for
from tests.up import Up, up

TABLE = '[[model]]\nid = "{}"\nengine = "echo"\n'
FETCHED = f'[[model]]\nid = "{{}}"\nsource = "hf:{{}}/{FILE}"\n'


def ask(url: str, model: str) -> httpx.Response:
    body = {"model": model, "prompt": "one two", "max_tokens": 3}
    return httpx.post(f"{url}/v1/completions", json=body, timeout=120)


def worker_of(running: Up, model: str) -> int | None:
    """Its pid, from its first moment on."""
    found = [pid for pid, parent in parents().items() if parent == running.process.pid]
    return next((pid for pid in found if "inferq worker" in title(pid) and title(pid).split()[-1] == model), None)


def test_fetching_takes_nobodys_seat_and_what_is_refused_is_told_at_once(tmp_path: Path) -> None:
    """There is one seat. While a file comes slowly another model has it; then the file's model."""
    folder = tmp_path / "models"
    folder.mkdir()
    tables = TABLE.format("red") + FETCHED.format("slow", REPOSITORY) + FETCHED.format("missing", "org/none")
    (folder / "models.toml").write_text(tables)
    with serving() as hub:
        hub.pause = 0.5
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hub")}
        settings |= {"INFERQ_MAX_LOADED": "1", "HF_HUB_DISABLE_XET": "1"}
        with up(tmp_path / "data", "--models", str(folder), "--port", "0", **settings) as running:
            url, answers = running.ready(), list[httpx.Response]()
            slow = threading.Thread(target=lambda: answers.append(ask(url, "slow")))
            slow.start()
            wait_for(hub.gets, "the download", 60)
            assert ask(url, "red").status_code == 200
            assert not answers, "it would have kept the other one out"
            hub.pause = 0.0
            error = problem(ask(url, "missing"), 503)
            assert "cannot be fetched" in error["message"]
            assert running.log.count("worker missing (pid") == 1, "it is not tried again at once"
            slow.join(120)
            assert answers[0].status_code == 200, answers[0].text


def test_a_load_that_hangs_is_given_up_and_so_are_requests_for_what_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "models.toml").write_text("\n".join(map(TABLE.format, ("hangs", "goes"))))
    arguments = ("--models", str(folder), "--port", "0")
    with up(tmp_path / "data", *arguments, INFERQ_LOAD_TIMEOUT="15") as running:
        url, answers = running.ready(), dict[str, httpx.Response]()

        def begin(model: str) -> threading.Thread:
            thread = threading.Thread(target=lambda: answers.update({model: ask(url, model)}))
            thread.start()
            return thread

        hanging = begin("hangs")
        os.kill(wait_for(lambda: worker_of(running, "hangs"), "its worker", 60), signal.SIGSTOP)
        going = begin("goes")  # which waits, as one model is loaded at a time
        wait_for(lambda: "goes" in httpx.get(f"{url}/v1/models/goes").text, "the offer")
        (folder / "models.toml").write_text(TABLE.format("hangs"))
        for thread in (hanging, going):
            thread.join(120)
        assert "was not loaded within 15 s" in problem(answers["hangs"], 503)["message"]
        assert "its file is gone" in problem(answers["goes"], 503)["message"]
