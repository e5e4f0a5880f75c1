"""Models on demand, as users have them: `inferq up --models FOLDER` offers all, and loads those that are asked for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shared import census
from shared.store import connect
from tests.calls import problem
from tests.commands import inferq
from tests.stack import wait_for
from tests.tiny import TINY
from tests.up import Up, processes, up

ECHOES = ("red", "green", "blue", "never")
LATER = {"Prefer": "respond-async"}


class Offered:
    """A running `inferq up --models`, with a client."""

    def __init__(self, running: Up, folder: Path) -> None:
        self.running, self.folder = running, folder
        self.url = running.ready()
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def __enter__(self) -> Offered:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def ask(self, model: str, prompt: str = "one two", **headers: str) -> httpx.Response:
        return self.http.post(
            "/v1/completions", json={"model": model, "prompt": prompt, "max_tokens": 200}, headers=headers
        )

    def states(self) -> dict[str, str]:
        return {model["id"]: model["state"] for model in self.http.get("/v1/models").json()["data"]}

    def loaded(self) -> set[str]:
        return {name for name, state in self.states().items() if state == "ready"}

    def workers(self) -> dict[int, str]:
        """The pids of all workers, with their models."""
        titles = {pid: title for pid, title in self.running.family().items() if title.startswith("inferq worker")}
        return {pid: title.split()[-1] for pid, title in titles.items()}


def write_models(folder: Path, *more: str) -> Path:
    folder.mkdir()
    tables = [f'[[model]]\nid = "{name}"\nengine = "echo"\n' for name in ECHOES] + list(more)
    (folder / "models.toml").write_text("\n".join(tables))
    return folder


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offered]:
    folder = write_models(tmp_path_factory.mktemp("demand") / "models")
    (folder / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    settings = {"INFERQ_MAX_LOADED": "2", "INFERQ_RESIDENCE": "0", "INFERQ_ECHO_RATE": "40", "INFERQ_THREADS": "1"}
    data = folder.parent / "data"
    with up(data, "--models", str(folder), "--port", "0", **settings) as running, Offered(running, folder) as started:
        yield started


def test_all_are_offered_and_none_is_loaded(offered: Offered) -> None:
    states = offered.states()
    assert {name: states[name] for name in (*ECHOES, "smollm2", "minilm")} == dict.fromkeys(
        states.keys() - {"broken", "echo"}, "available"
    )
    assert not offered.workers()
    assert offered.http.get("/readyz").json()["on_demand"] == sorted(states.keys() - {"broken"})
    told = offered.http.get("/v1/models/smollm2").json()
    assert (told["status"]["value"], told["architecture"], told["reason"]) == ("unloaded", "llama", None)


def test_what_cannot_be_loaded_is_told_with_its_reason(offered: Offered) -> None:
    told = offered.http.get("/v1/models/broken").json()
    assert (told["state"], told["status"]["value"]) == ("failed", "failed")
    assert told["reason"]
    table = inferq("status", "--data-dir", str(offered.folder.parent / "data")).stdout
    assert f"broken  {told['reason']}" in table.split("WHY IT CANNOT BE SERVED")[1], "below, for it is long"
    answer = offered.ask("broken")
    error = problem(answer, 503)
    assert error["code"] == "model_unavailable"
    assert told["reason"].rstrip(".") in error["message"]
    assert answer.headers["x-should-retry"] == "false", "its file is no better in a while"
    assert "retry-after" not in answer.headers
    listed = json.loads(inferq("models", "--json", "--models", str(offered.folder)).stdout)
    assert {each["id"]: each["reason"] for each in listed if each["reason"]} == {"broken": told["reason"]}


def test_who_asks_for_what_there_is_not_is_told_what_can_be_served(offered: Offered) -> None:
    message = problem(offered.ask("none of these"), 404)["message"]
    assert message.endswith(f"Models that exist: {', '.join(sorted(offered.states().keys() - {'broken'}))}.")
    assert "Did you mean 'broken'?" in problem(offered.ask("brokem"), 404)["message"], "which says why it is not"


def test_it_is_there_when_it_is_asked_for_and_the_least_used_makes_room(offered: Offered) -> None:
    for name in ("red", "green"):
        assert offered.ask(name).json()["choices"][0]["text"] == "one two"
    assert offered.loaded() == {"red", "green"}
    assert offered.ask("red").status_code == 200
    assert offered.ask("blue").status_code == 200
    wait_for(lambda: offered.loaded() == {"red", "blue"}, "the end of green")
    assert sorted(offered.workers().values()) == ["blue", "red"]


def test_an_answer_is_never_cut_off_to_make_room(offered: Offered) -> None:
    """Two stream while a third model is asked for: it waits for one of them."""
    words, ends = "word " * 120, list[str]()

    def stream(name: str) -> None:
        ends.append(offered.ask(name, words).json()["choices"][0]["text"])

    threads = [threading.Thread(target=stream, args=(name,)) for name in sorted(offered.loaded() or {"red", "blue"})]
    for thread in threads:
        thread.start()
    with connect((offered.running.data_dir / "redis.url").read_text().strip()) as client:
        wait_for(lambda: len(list(client.scan_iter("iq:leases:*"))) == 2, "both answers", 30)
    assert offered.ask("green").status_code == 200
    for thread in threads:
        thread.join(60)
    assert ends == [words] * 2
    assert len(offered.workers()) <= 2
    with connect((offered.running.data_dir / "redis.url").read_text().strip()) as client:
        assert sum(each.recovered for each in census.numbers(client, ECHOES).values()) == 0, "one was begun twice"


def test_a_file_that_comes_is_offered_and_one_that_goes_is_not(offered: Offered) -> None:
    path = offered.folder / "迟到.gguf"
    shutil.copy(TINY, path)
    wait_for(lambda: offered.states().get("迟到") == "available", "the offer", 20)
    assert offered.http.get("/v1/models/迟到").json()["max_model_len"] is None
    answer = offered.http.post("/v1/completions", json={"model": "迟到", "prompt": "hello", "max_tokens": 3})
    assert answer.json()["usage"]["completion_tokens"] == 3, answer.text
    path.unlink()
    wait_for(lambda: "迟到" not in offered.workers().values(), "the end of its worker", 20)
    assert "SETNAME" not in offered.running.log, "Redis takes no connection of that name"


def test_the_death_of_a_worker_loses_nothing(offered: Offered) -> None:
    job = offered.ask("red", "word " * 100, **LATER).json()["id"]
    wait_for(lambda: offered.http.get(f"/v1/jobs/{job}").json()["tokens"] > 3, "its first tokens", 60)
    [pid] = [pid for pid, model in offered.workers().items() if model == "red"]
    os.kill(pid, signal.SIGKILL)
    told = wait_for(lambda: (it := finished(offered, job)) and it, "its end", 60)
    assert told["result"]["choices"][0]["text"] == "word " * 100


def finished(offered: Offered, job: str) -> dict[str, Any] | None:
    told: dict[str, Any] = offered.http.get(f"/v1/jobs/{job}").json()
    return told if told["status"] in ("completed", "failed") else None


def test_an_agent_that_died_finds_what_was_asked_for(tmp_path: Path) -> None:
    """And tells all who wait, also those who were promised an answer, where a model's worker fails, or where one has
    gone meanwhile."""
    bad = f'[[model]]\nid = "bad"\nengine = "ctransformers"\nsource = "{TINY}"\n'
    folder = write_models(tmp_path / "models", bad)
    arguments = ("--models", str(folder), "--port", "0")
    settings = {"INFERQ_ECHO_RATE": "20", "INFERQ_MAX_LOADED": "1"}
    with up(tmp_path / "data", *arguments, **settings) as running, Offered(running, folder) as offered:
        job = offered.ask("red", "word " * 60, **LATER).json()["id"]
        wait_for(lambda: "red" in offered.workers().values(), "its worker", 30)
        missed = offered.ask("green", **LATER).json()["id"]
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        wait_for(
            lambda: not [title for _, _, title in processes().values() if str(running.data_dir) in title],
            "the end of all",
            20,
        )
    file = folder / "models.toml"
    file.write_text(file.read_text().replace("green", "another"))
    with up(tmp_path / "data", *arguments) as running, Offered(running, folder) as offered:
        told = wait_for(lambda: finished(offered, job), "the end of the job", 60)
        assert told["result"]["choices"][0]["text"] == "word " * 60
        promised = offered.ask("bad", **LATER).json()["id"]
        error = problem(offered.ask("bad"), 503)
        assert "cannot be served" in error["message"]
        told = wait_for(lambda: finished(offered, promised), "the end of what was promised", 60)
        assert told["error"]["code"] == "model_unavailable"
        assert offered.states()["bad"] == "failed"
        told = wait_for(lambda: finished(offered, missed), "the end of what waits for what is gone", 60)
        assert "its file is gone" in told["error"]["message"]


def test_two_machines_load_a_model_once_and_one_takes_over(tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    arguments = ("--models", str(folder), "--port", "0")
    with up(tmp_path / "first", *arguments) as first, Offered(first, folder) as one:
        url = (first.data_dir / "redis.url").read_text().strip()
        with up(tmp_path / "second", *arguments, INFERQ_REDIS_URL=url) as second, Offered(second, folder) as two:
            for name in ("red", "green", "blue"):
                assert one.ask(name).status_code == 200
            served = [*one.workers().values(), *two.workers().values()]
            assert sorted(served) == ["blue", "green", "red"]
            for offered in (one, two):
                for pid in offered.workers():
                    os.kill(pid, signal.SIGKILL)
            os.kill(second.process.pid, signal.SIGKILL)
            second.process.wait()
            for name in ("red", "green", "blue"):
                assert one.ask(name).status_code == 200
            assert sorted(one.workers().values()) == ["blue", "green", "red"]


def test_ollamas_clients_have_one_loaded_and_let_go(offered: Offered) -> None:
    asked: dict[str, Any] = {"model": "green", "stream": False}
    away = {"model": "never:latest", "keep_alive": 0}
    for path in ("/api/generate", "/api/chat"):
        for streams in (True, False):
            told = offered.http.post(path, json={**away, "stream": streams}).json()
            assert (told["model"], told["done"], told["done_reason"]) == ("never:latest", True, "unload")
    assert offered.http.post("/api/embed", json=away).json() == {"model": "never:latest", "embeddings": []}
    assert "never is asked for" not in offered.running.log, "nobody has to be loaded to be let go of"
    told = offered.http.post("/api/generate", json={**asked, "keep_alive": "5m"})
    assert (told.json()["done_reason"], told.headers.get("x-inferq-ignored")) == ("load", None)
    assert "green:latest" in [model["name"] for model in offered.http.get("/api/ps").json()["models"]]
    assert offered.http.post("/api/generate", json={**asked, "keep_alive": 0}).json()["done_reason"] == "unload"
    wait_for(lambda: "green" not in offered.loaded(), "the end of green")
    assert offered.http.post("/api/pull", json={**asked, "model": "green:latest"}).json() == {"status": "success"}
    assert "green" in offered.loaded(), "what was said of it holds until it has left"


def test_one_client_lets_a_model_go_that_another_one_uses_once_it_has_its_answer(offered: Offered) -> None:
    words, ends = "word " * 120, list[str]()
    asked: dict[str, Any] = {"model": "green", "stream": False}
    offered.http.post("/api/generate", json={**asked, "keep_alive": "5m"})
    [pid] = [pid for pid, model in offered.workers().items() if model == "green"]
    long = threading.Thread(target=lambda: ends.append(offered.ask("green", words).json()["choices"][0]["text"]))
    long.start()
    with connect((offered.running.data_dir / "redis.url").read_text().strip()) as client:
        wait_for(lambda: client.zcard("iq:leases:green"), "the answer's beginning", 30)
        offered.http.post("/api/generate", json={**asked, "keep_alive": 0})
        assert not ends
        assert offered.workers().get(pid) == "green"
        long.join(60)
        assert ends == [words]
        wait_for(lambda: pid not in offered.workers(), "the end of green", 30)
        assert census.numbers(client, ["green"])["green"].recovered == 0
