"""/api/pull of a model that has to be fetched, by the worker of whichever machine: its client sees the bytes come."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2 as httpx

from tests.hub import FILE, REPOSITORY, serving
from tests.up import up


def test_a_pull_tells_how_many_bytes_have_come(tmp_path: Path) -> None:
    models = tmp_path / "models.toml"
    models.write_text(f'[[model]]\nid = "tiny"\nsource = "hf:{REPOSITORY}/{FILE}"\n')
    with serving() as hub:
        size = len(hub.files[FILE])
        hub.pause = 6.0 / (size / 65_536)
        environ = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path / "hf")}
        environ |= {"HF_TOKEN": "", "INFERQ_AS_IS": "1", "INFERQ_THREADS": "1"}
        with up(tmp_path / "data", "--models", str(models), "--port", "0", **environ) as running:
            told = []
            with httpx.stream("POST", f"{running.ready()}/api/pull", json={"model": "tiny"}, timeout=60) as answer:
                for line in answer.iter_lines():
                    told.append(json.loads(line))
                    if told[-1].get("completed"):
                        hub.pause = 0
    first, *coming, full, last = told
    assert (first, last) == ({"status": "pulling manifest"}, {"status": "success"})
    assert 0 < coming[-1]["completed"] < full["completed"] == full["total"] == size
    [digest] = {each["digest"] for each in (*coming, full)}
    assert full["status"] == f"pulling {digest.removeprefix('sha256:')[:12]}"
