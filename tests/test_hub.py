"""Models of the Hugging Face hub, with a server on this machine that plays the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.commands import inferq
from tests.hub import COMMIT, FILE, REPOSITORY, HubServer, serving
from tests.tiny import TINY
from tests.up import up


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def environ(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "models.toml").write_text(
        "".join(
            f'[[model]]\nid = "{name}"\nsource = "hf:{source}"\n'
            for name, source in {
                "tiny": f"{REPOSITORY}/{FILE}",
                "tagged": f"{REPOSITORY}/{FILE}@v1",
                "nowhere": "org/nowhere/a.gguf",
                "private": f"org/private/{FILE}",
                "gated": f"org/gated/{FILE}",
                "version": f"{REPOSITORY}/{FILE}@v9",
                "entry": f"{REPOSITORY}/b.gguf",
            }.items()
        )
        + f'[[model]]\nid = "vouched"\nsource = "hf:{REPOSITORY}/{FILE}"\nsha256 = "{"0" * 64}"\n'
    )
    return {
        "INFERQ_MODELS": str(tmp_path / "models.toml"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "",
    }


def test_it_is_fetched_once_and_asked_for_again_by_pull(hub: HubServer, environ: dict[str, str]) -> None:
    pulled = inferq("pull", "tiny", **environ)
    assert pulled.returncode == 0, pulled.stderr
    file = Path(pulled.stdout.strip())
    assert file.read_bytes() == TINY.read_bytes()
    assert Path(environ["HF_HOME"]) in file.parents
    path = f"/{REPOSITORY}/resolve/main/{FILE}"
    assert hub.requests[:2] == [f"HEAD {path}", f"GET /{REPOSITORY}/resolve/{COMMIT}/{FILE}"]
    assert str(file) in inferq("models", **environ).stdout
    assert inferq("pull", "tiny", **environ).stdout == pulled.stdout
    assert len(hub.gets()) == 1
    hub.files[FILE], hub.commit = TINY.read_bytes() + b"newer", COMMIT[::-1]
    assert Path(inferq("pull", "tiny", **environ).stdout.strip()).read_bytes() == hub.files[FILE]


def test_a_revision(hub: HubServer, environ: dict[str, str]) -> None:
    assert inferq("pull", "tagged", **environ).returncode == 0
    assert hub.requests[0] == f"HEAD /{REPOSITORY}/resolve/v1/{FILE}"


def test_a_download_that_breaks_is_taken_up_where_it_broke(hub: HubServer, environ: dict[str, str]) -> None:
    hub.files[FILE], hub.breaks = TINY.read_bytes() + bytes(1 << 20), 1
    pulled = inferq("pull", "tiny", **environ)
    assert pulled.returncode == 0, pulled.stderr
    assert Path(pulled.stdout.strip()).read_bytes() == hub.files[FILE]
    kept = len(hub.files[FILE]) // 2
    assert hub.gets()[1:] == [f"GET /{REPOSITORY}/resolve/{COMMIT}/{FILE} bytes={kept}-"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere", "the hub has no org/nowhere, or it is private; then set HF_TOKEN"),
        ("private", "HF_TOKEN"),
        ("gated", "org/gated is gated; accept its terms at http"),
        ("version", "org/tiny has no revision 'v9'"),
        ("entry", "org/tiny has no file 'b.gguf' in revision 'main'"),
    ],
)
def test_what_the_hub_refuses_is_told_in_words(environ: dict[str, str], model: str, words: str) -> None:
    pulled = inferq("pull", model, **environ)
    assert (pulled.returncode, pulled.stdout) == (2, "")
    last = pulled.stderr.splitlines()[-1]
    assert last.startswith(f"inferq: cannot fetch {model} from hf:org/")
    assert words in last
    assert "Traceback" not in pulled.stderr


def test_a_token_opens_what_is_private(environ: dict[str, str]) -> None:
    assert inferq("pull", "private", **{**environ, "HF_TOKEN": "right"}).returncode == 0
    wrong = inferq("pull", "private", **{**environ, "HF_TOKEN": "wrong", "HF_HOME": environ["HF_HOME"] + "2"})
    assert wrong.returncode == 2
    assert "HF_TOKEN" in wrong.stderr.splitlines()[-1]


def test_a_file_with_another_hash_is_refused(environ: dict[str, str]) -> None:
    pulled = inferq("pull", "vouched", **environ)
    assert pulled.returncode == 1
    assert f"has sha256 {hashlib.sha256(TINY.read_bytes()).hexdigest()}, expected 000" in pulled.stderr


def test_without_the_hub_the_cache_will_do(hub: HubServer, environ: dict[str, str]) -> None:
    offline = {**environ, "HF_HUB_OFFLINE": "1"}
    refused = inferq("pull", "tiny", **offline)
    assert refused.returncode == 1
    assert refused.stderr.endswith("it is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub\n")
    assert inferq("pull", "tiny", **environ).returncode == 0
    asked = len(hub.requests)
    assert inferq("pull", "tiny", **offline).returncode == 0
    away = {**environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert inferq("pull", "tiny", **away).returncode == 0
    assert len(hub.requests) == asked


def test_up_fetches_it(hub: HubServer, environ: dict[str, str], tmp_path: Path) -> None:
    with up(tmp_path / "data", "tagged", "--port", "0", **environ) as started:
        body = {"model": "tagged", "prompt": "a", "max_tokens": 2}
        assert httpx.post(f"{started.ready()}/v1/completions", json=body, timeout=30).is_success
        assert "fetching tagged from hf:org/tiny/sub/tiny.gguf@v1" in started.log
    assert len(hub.gets()) == 1  # the worker finds it in the cache
