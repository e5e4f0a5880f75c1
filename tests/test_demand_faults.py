"""What goes wrong with models on demand ends soon, in words, and keeps no other model out."""

from __future__ import annotations

import os
import re
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
    """There is one seat. While a file comes slowly another model has it; then the file's model. Once the other one is
    to have it always, nobody waits for what cannot be."""
    folder = tmp_path / "models"
    folder.mkdir()
    tables = TABLE.format("red") + FETCHED.format("slow", REPOSITORY) + FETCHED.format("missing", "org/none")
    (folder / "models.toml").write_text(tables)
    with serving() as hub:
        hub.pause = 0.5
        settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hub")}
        settings |= {"INFERQ_MAX_LOADED": "1", "INFERQ_MEMORY": "2G", "HF_HUB_DISABLE_XET": "1"}
        with up(tmp_path / "data", "--models", str(folder), "--port", "0", **settings) as running:
            url, answers = running.ready(), list[httpx.Response]()
            slow = threading.Thread(target=lambda: answers.append(ask(url, "slow")))
            slow.start()
            wait_for(hub.gets, "the download", 60)
            assert ask(url, "red").status_code == 200
            assert not answers, "it would have kept the other one out"
            told = re.findall(r'inferq_agent_memory_bytes{.*kind="(\w+)"} (\S+)', httpx.get(f"{url}/metrics").text)
            memory = {kind: float(value) for kind, value in told}
            assert memory["budget"] - memory["free"] < 200e6, "what is fetched has no part of it yet"
            hub.pause = 0.0
            error = problem(ask(url, "missing"), 503)
            assert "cannot be fetched" in error["message"]
            assert running.log.count("worker missing (pid") == 1, "it is not tried again at once"
            slow.join(120)
            assert answers[0].status_code == 200, answers[0].text
            kept = TABLE.format("red") + 'keep = "always"\n'
            (folder / "models.toml").write_text(kept + FETCHED.format("slow", REPOSITORY))
            wait_for(lambda: httpx.get(f"{url}/v1/models/red").json()["state"] == "ready", "its load", 60)
            assert "as many are always kept" in problem(ask(url, "slow"), 503)["message"]


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


def test_who_stands_still_keeps_no_place_and_who_goes_takes_nothing_from_who_stays(tmp_path: Path) -> None:
    """A worker is frozen before it is ready, and then asked to leave. Of two workers of a model that is to stay for an
    hour one makes room for another model, which stays for a moment: the other one stays."""
    folder = tmp_path / "models"
    folder.mkdir()
    pair = TABLE.format("pair") + "workers = 2\n"
    (folder / "models.toml").write_text(pair + TABLE.format("brief") + TABLE.format("hangs"))
    settings = {"INFERQ_MAX_LOADED": "2", "INFERQ_RESIDENCE": "0", "INFERQ_GRACE": "0", "INFERQ_KEEP": "2s"}
    with up(tmp_path / "data", "--models", str(folder), "--port", "0", **settings) as running:
        url = running.ready()
        hanging = threading.Thread(target=lambda: ask(url, "hangs"))
        hanging.start()
        frozen = wait_for(lambda: worker_of(running, "hangs"), "its worker", 60)
        os.kill(frozen, signal.SIGSTOP)
        (folder / "models.toml").write_text(pair + TABLE.format("brief"))
        wait_for(lambda: frozen not in parents(), "its end", 60)

        def serve() -> set[int]:
            found = {pid for pid, parent in parents().items() if parent == running.process.pid}
            return {pid for pid in found if title(pid) == "inferq worker pair"}

        asked = {"model": "pair", "stream": False, "keep_alive": "1h"}
        assert httpx.post(f"{url}/api/generate", json=asked, timeout=60).json()["done_reason"] == "load"
        two = 'inferq_live_workers{model="pair"} 2.0'
        wait_for(lambda: two in httpx.get(f"{url}/metrics").text, "both", 60)
        both = serve()
        assert ask(url, "brief").status_code == 200
        assert len(both & serve()) == 1
        wait_for(lambda: worker_of(running, "brief") is None, "its end", 60)
        assert len(both & serve()) == 1
        hanging.join(60)
