"""Legacy files through `inferq up FILE`: the engine follows from the file, which is repacked before anything starts."""

from __future__ import annotations

from pathlib import Path

import httpx2 as httpx

from tests.calls import COMPLETIONS
from tests.commands import inferq
from tests.fixtures.make_legacy import GENUINE
from tests.up import up


def test_genuine_files_are_served(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "INFERQ_THREADS": "1"}
    with up(tmp_path / "data", *map(str, GENUINE), "--slots", "1", "--port", "0", **cache) as started:
        url = started.ready()
        with httpx.Client(base_url=url, timeout=60) as http:
            for file in GENUINE:
                body = {"model": file.stem, "prompt": "def", "max_tokens": 4, "return_token_ids": True}
                answer = http.post(COMPLETIONS, json=body)
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["choices"][0]["token_ids"]) in range(1, 5)
            owners = {entry["owned_by"] for entry in http.get("/v1/models").json()["data"]}
    assert owners == {"llama.cpp"}


def test_a_damaged_one_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "damaged.bin"
    file.write_bytes(GENUINE[0].read_bytes()[:-1000])
    refused = inferq("up", str(file), "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 2
    assert "damaged.bin" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "data" / "valkey.conf").exists()


def test_an_unknown_engine_is_told_before_anything_starts(tmp_path: Path) -> None:
    place = ["--port", "0", "--data-dir", str(tmp_path / "data")]
    refused = inferq("up", "echo", "--engine", "vllm", *place)
    assert refused.returncode == 2
    assert "unknown engine 'vllm'; there are" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "data" / "valkey.conf").exists()
