"""Model files that are changed while they are served: cut off, written over, or replaced by others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest

from shared.errors import HostUnavailable
from tests.answers import Running, finish, host_of, run
from tests.calls import COMPLETIONS, data, spoken
from tests.commands import inferq
from tests.engines import WITH_MODEL, Entry, completion, load, named, serves
from tests.stack import Stack, wait_for
from tests.tiny import loaded, other_weights, roomy
from tests.up import up
from worker.engines import host
from worker.engines.host_files import HostFiles
from worker.formats.identity import OtherFiles

LONG = 6000
"""Tokens of an answer that takes the tiny model some seconds."""
CHANGED = "its file model.bin was changed in place while it was served"


def cut(path: Path) -> None:
    os.truncate(path, 4096)


def overwrite(path: Path) -> None:
    content = other_weights(path.read_bytes())
    with path.open("r+b") as file:
        file.write(content)


CASES = [(entry, overwrite) for entry in WITH_MODEL]
CASES += [(entry, cut) for entry in WITH_MODEL if entry.engine == "llama.cpp"]  # the others read the file once


@pytest.mark.parametrize(("entry", "change"), CASES, ids=lambda each: named(each) if isinstance(each, Entry) else None)
def test_a_file_that_is_changed_in_place_ends_its_host_and_blames_no_job(
    entry: Entry, change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a job goes on with whatever is there now, or is taken for what kills hosts."""
    monkeypatch.setattr(host, "_LONGEST", 0.5)  # between two tries
    with closing(load(entry, tmp_path)) as engine:
        path = tmp_path / "model.bin"
        whole, events = path.read_bytes(), engine.run(completion(max_tokens=None), Running())
        next(events)
        os.kill(host_of(engine), signal.SIGSTOP)  # so that it cannot end before
        change(path)
        if change is cut:  # which it dies of by itself
            os.kill(host_of(engine), signal.SIGCONT)
        with pytest.raises(HostUnavailable, match=CHANGED):
            list(events)
        with pytest.raises(HostUnavailable, match="not those any more that this worker has loaded"):
            run(engine, completion())
        wait_for(lambda: engine.stale, "the verdict")
        path.write_bytes(whole)
        wait_for(lambda: not (engine.trouble or engine.stale), "its return", 60)
        assert serves(engine)


def test_what_is_changed_of_files_and_what_is_not(tmp_path: Path) -> None:
    path, verdicts = tmp_path / "a.gguf", list[int]()
    path.write_bytes(b"1234")

    def check() -> None:
        verdicts.append(1)
        if path.read_bytes() != b"1234":
            raise OtherFiles("they are others")

    files = HostFiles([str(path), str(tmp_path / "nowhere")], check)
    files.open()
    assert files.look() == ""
    os.utime(path, (1, 1))
    assert (files.look(), len(verdicts)) == ("", 2), "it says what it did"
    (other := tmp_path / "b").write_bytes(b"5678")
    other.rename(path)
    assert files.look() == "", "the host has the one before"
    path.write_bytes(b"56789")
    assert files.look() == "", "the host has never had this one"
    with pytest.raises(OtherFiles):
        files.open()
    path.write_bytes(b"1234")
    files.open()
    path.write_bytes(b"12")
    told = files.look()
    assert told == "its file a.gguf was changed in place while it was served"
    path.write_bytes(b"1234")
    assert files.look() == told, "of this host"
    files.open()
    assert files.look() == ""


def test_a_file_that_is_replaced_is_served_on_and_is_asked_for_where_it_has_to_be_read_again(tmp_path: Path) -> None:
    """Scores come from a host of its own, which starts when it is needed, and would read the other file."""
    path = roomy(tmp_path)
    with loaded(path) as engine:
        (other := tmp_path / "other").write_bytes(other_weights(path.read_bytes()))
        other.rename(path)
        assert finish(run(engine, completion()))[1].usage.completion_tokens
        assert not engine.stale
        with pytest.raises(HostUnavailable, match="not those any more"):
            list(engine.scorer.score([1, 2, 3]))
        assert engine.stale


def ask(url: str, **more: object) -> httpx.Response:
    body = {"model": "roomy", "prompt": "a", "max_tokens": LONG, "ignore_eos": True, "seed": 1, **more}
    return httpx.post(url + COMPLETIONS, json=body, timeout=120)


def test_an_answer_waits_for_a_file_that_was_cut_and_another_one_is_served_without_a_restart(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    path = roomy(tmp_path)
    whole = path.read_bytes()
    with up(tmp_path / "data", str(path), "--port", "0", "--slots", "1", INFERQ_THREADS="1") as running:
        url = running.ready()

        before = ask(url, max_tokens=3).json()
        answer = pool.submit(ask, url)
        wait_for(lambda: "in_progress" in httpx.get(f"{url}/v1/jobs").text, "the start")
        cut(path)
        wait_for(lambda: "changed in place" in running.log, "the end of its host")
        wait_for(
            lambda: "it cannot be loaded, and is tried again in" in running.log, "a worker that finds no model", 60
        )
        shown = inferq("status", "--data-dir", str(running.data_dir)).stdout
        assert "not ready: " in shown
        assert "roomy.gguf: at byte " in shown
        path.write_bytes(whole)
        assert answer.result().json()["usage"]["completion_tokens"] == LONG
        assert ask(url, max_tokens=3).json()["choices"] == before["choices"]

        path.write_bytes(other_weights(whole))

        def others() -> bool:
            told = ask(url, max_tokens=3)
            return told.status_code == 200 and told.json()["system_fingerprint"] != before["system_fingerprint"]

        wait_for(others, "the other weights", 60)


def test_what_was_written_by_other_weights_is_never_gone_on_with_as_tokens(
    served: Stack, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """A file is replaced while a worker has the one before; then that worker dies in the middle of two answers."""
    path = roomy(tmp_path)
    first = served.start_worker(str(path), slots=2, threads=1)
    asked = {"model": "roomy", "prompt": "a", "max_tokens": LONG, "ignore_eos": True, "seed": 1, "stream": True}

    def stream(**more: object) -> list[object]:
        with served.http().stream("POST", COMPLETIONS, json={**asked, **more}) as answer:
            return list(data(answer.iter_lines()))

    alone = ask(served.url, max_tokens=5).json()
    plain, told = pool.submit(stream), pool.submit(stream, logprobs=0)

    def begun() -> bool:
        running = [job for job, state in served.jobs().items() if state == "in_progress"]
        return len(running) == 2 and all(served.events(job) > 5 for job in running)

    wait_for(begun, "both")
    os.kill(first.pid, signal.SIGSTOP)
    (other := tmp_path / "other").write_bytes(other_weights(path.read_bytes()))
    other.rename(path)
    served.start_worker(str(path), slots=2, threads=1)
    first.kill()
    again = ask(served.url, max_tokens=5).json()
    assert alone["choices"][0]["text"] != again["choices"][0]["text"]
    assert spoken(plain.result()).startswith(alone["choices"][0]["text"])
    assert plain.result()[-1] == "[DONE]"
    assert "came out another way" in str(told.result()[-2:]), "how likely they were to another model says nothing"
