"""LoRA adapters of one base, each a model of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared import catalogue
from shared.config import ConfigError
from shared.errors import ModelFileError
from tests.adapters import merge, write_adapter
from tests.answers import deltas, run, scores, tokens
from tests.calls import COMPLETIONS, problem
from tests.commands import inferq
from tests.hub import REPOSITORY, serving
from tests.prefixes import LONG, ask, cached, draw, keeping
from tests.stack import Stack
from tests.tiny import TINY, greedy, likeliest, loaded, roomy
from worker.engines.llama_cpp_files import check_files

PROMPT, COUNT = tuple(range(5, 25)), 16
TOML = f"""
[[model]]
id = "tiny"
aliases = ["t"]
source = "{TINY}"
sampling = {{ temperature = 0.5, top_k = 40 }}
context = 256

[[model]]
base = "t"
adapter = "formal.gguf"

[[model]]
id = "half"
aliases = ["h"]
base = "tiny"
adapter = "formal.gguf"
scale = 0.5
sampling = {{ top_k = 1 }}
slots = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter, the same merged into the model, and a models.toml."""
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "formal.gguf")
    merge(folder / "whole.gguf")
    merge(folder / "halved.gguf", scale=0.5)
    (folder / "models.toml").write_text(TOML)
    return folder


@pytest.fixture(scope="module")
def adapted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway, and a worker of the base and of each adapter."""
    stack = Stack(tmp_path_factory.mktemp("stack"), models=folder / "models.toml", slots=2)
    try:
        stack.start_gateway()
        for name in ("tiny", "t:formal", "half"):
            stack.start_worker(name)
        yield stack
    finally:
        stack.close()


def complete(stack: Stack, model: str) -> list[int]:
    body = {"model": model, "prompt": list(PROMPT), "max_tokens": COUNT, "temperature": 0, "ignore_eos": True}
    answer: dict[str, Any] = stack.http().post(COMPLETIONS, json={**body, "return_token_ids": True}).json()
    assert answer["model"] == {"h": "half", "t": "tiny"}.get(model, model), answer
    return list(answer["choices"][0]["token_ids"])


def test_each_answers_as_weights_do_that_were_made_with_it(adapted: Stack, folder: Path) -> None:
    for name, file in (("t:formal", "whole.gguf"), ("h", "halved.gguf"), ("t", TINY), ("t:formal", "whole.gguf")):
        assert complete(adapted, name) == likeliest(folder / file, PROMPT, COUNT), name
    assert len({tuple(complete(adapted, name)) for name in ("tiny", "t:formal", "half")}) == 3


def test_they_are_listed_with_their_base(adapted: Stack) -> None:
    told = {each["id"]: each for each in adapted.http().get("/v1/models").json()["data"]}
    assert {name: (each["root"], each["parent"]) for name, each in told.items()} == {
        "tiny": ("tiny", None),
        "t": ("tiny", None),
        "t:formal": ("t:formal", "tiny"),
        "half": ("half", "tiny"),
        "h": ("half", "tiny"),
    }
    assert told["half"]["sampling"] == {"temperature": 0.5, "top_k": 1}
    assert (told["half"]["slots"], told["half"]["max_model_len"]) == (2, 256)
    refused = adapted.http().post(COMPLETIONS, json={"model": "tiny:formel", "prompt": "a"})
    assert "Adapters of tiny: half, t:formal." in problem(refused, 404)["message"]


def test_it_counts_wherever_the_model_computes(folder: Path) -> None:
    """In scores, and in what goes on after another execution; and nobody takes one for the other."""
    text = (*PROMPT, *likeliest(folder / "whole.gguf", PROMPT, COUNT))
    task = replace(greedy(PROMPT, COUNT), token_ids=True)
    with loaded(folder / "whole.gguf") as merged:
        expected = scores(merged, text, 1)
    with loaded(lora=((folder / "formal.gguf", 1.0),)) as engine:
        assert scores(engine, text, 1) == pytest.approx(expected, abs=0.02)
        begun = deltas(run(engine, task))
        digest = engine.card.digest
    with loaded(lora=((folder / "formal.gguf", 1.0),)) as engine:
        rest = tokens(run(engine, task, begun[: COUNT // 2]))
        assert [token for delta in begun[: COUNT // 2] for token in delta.tokens] + rest == list(text[len(PROMPT) :])
        assert engine.card.digest == digest, "so its tokens mean the same"
    digests = {digest}
    for others in ((), ((folder / "formal.gguf", 0.5),)):
        with loaded(lora=others) as engine:
            digests.add(engine.card.digest)
    assert len(digests) == 3


def test_what_one_has_read_is_of_no_use_to_another(folder: Path, tmp_path: Path) -> None:
    model, task = roomy(tmp_path), ask(draw(LONG + 7))
    kept, adapter = tmp_path / "prefixes", folder / "formal.gguf"
    for lora in ((), ((adapter, 1.0),), ((adapter, 0.5),)):
        with keeping(kept, model, lora=lora) as engine:
            assert cached(engine, task) == 0, lora
    with keeping(kept, model, lora=((adapter, 1.0),)) as engine:
        assert cached(engine, task) >= LONG


def test_it_is_all_that_its_base_is_but_for_what_is_said(folder: Path) -> None:
    path = str(folder / "models.toml")
    formal, half = (catalogue.resolve(name, models_toml=path) for name in ("t:formal", "h"))
    assert formal.adapters == ((folder / "formal.gguf", 1.0),)
    assert (formal.path, formal.aliases, formal.context, formal.slots) == (TINY, (), 256, None)
    assert half.adapters == ((folder / "formal.gguf", 0.5),)
    assert half.adapter
    assert half.adapter.base == "tiny"
    meant = catalogue.resolve(f"t:{folder}/formal.gguf", models_toml=path)
    assert (meant.id, meant.adapters, meant.sampling) == ("t:formal", formal.adapters, formal.sampling)
    assert catalogue.announced(f"t:{folder}/formal.gguf", path).id == "t:formal"
    with pytest.raises(ModelFileError, match=r"none.gguf: no such file, the adapter of 't:none'"):
        catalogue.resolve(f"t:{folder}/none.gguf", models_toml=path)
    listed = inferq("models", INFERQ_MODELS=path).stdout.splitlines()
    assert f"file:{TINY} + file:{folder / 'formal.gguf'}" in next(line for line in listed if line.startswith("half "))
    told = inferq("info", "half", INFERQ_MODELS=path).stdout
    assert f"{folder / 'formal.gguf'} (0.5)" in told
    assert "copies" in told, "it counts"
    kept = inferq("rm", "half", "--yes", INFERQ_MODELS=path)
    assert "half is an adapter of tiny" in kept.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "key 'adapter': missing"),
        ("adapter = 'a.gguf'\nsource = 'b.gguf'\n", "key 'source': a model with a base has that of its base"),
        ("adapter = 'a.gguf'\nscale = inf\n", "key 'scale': must be a finite number"),
        ("adapter = 'hf:owner/name'\n", "which file of the repository"),
        ("adapter = 'a b.gguf'\n", "key 'id': 'smollm2:a b' is no name"),
        ("adapter = 'intermediate.gguf'\n", "smollm2:intermediate: key 'id': no name may end with :intermediate"),
        ("id = 'smollm2'\nadapter = 'a.gguf'\n", "smollm2: key 'base': there is no model 'smollm2'"),
    ],
)
def test_what_is_wrong_in_models_toml_is_named(tmp_path: Path, text: str, words: str) -> None:
    (path := tmp_path / "models.toml").write_text(f"[[model]]\nbase = 'smollm2'\n{text}")
    with pytest.raises(ConfigError, match=words):
        catalogue.list_models(str(path))


def test_an_adapter_is_of_a_model_that_is_none(tmp_path: Path) -> None:
    (path := tmp_path / "models.toml").write_text(
        "[[model]]\nid = 'a'\nbase = 'echo'\nadapter = 'a.gguf'\n[[model]]\nbase = 'a'\nadapter = 'a.gguf'\n"
    )
    with pytest.raises(ConfigError, match=r"a:a: key 'base': there is no model 'a' .* smollm2, minilm, echo"):
        catalogue.list_models(str(path))
    path.write_text("[[model]]\nid = 'a'\nengine = 'echo'\nscale = 1\n")
    with pytest.raises(ConfigError, match="key 'scale': only allowed with a base"):
        catalogue.list_models(str(path))


def test_in_a_folder_its_file_is_no_other_model(tmp_path: Path) -> None:
    shutil.copy(TINY, tmp_path / "tiny.gguf")
    write_adapter(tmp_path / "formal.gguf")
    (tmp_path / "models.toml").write_text("[[model]]\nbase = 'tiny'\nadapter = 'formal.gguf'\n")
    names = [model.id for model in catalogue.list_models(str(tmp_path))]
    assert names == ["tiny:formal", "tiny", "smollm2", "minilm", "echo"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "gpt2"}, r"an adapter for gpt2, but tiny-llama.gguf is llama"),
        (
            {"more": 32},
            r"its halves of 'blk.0.attn_q.weight' are \(160, 4\) and \(4, 128\), where the model has \(128, 1",
        ),
        ({"halves": "a"}, r"not for tiny-llama.gguf: of 'blk.0.attn_q.weight' it has one half alone"),
        ({"kind": "model"}, r"no LoRA adapter"),
    ],
)
def test_one_that_does_not_fit_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    write_adapter(path := tmp_path / "bad.gguf", **changes)
    with pytest.raises(ModelFileError, match=f"bad.gguf: .*{words}"):
        check_files(catalogue.resolve(f"tiny-llama:{path}", models_toml=str(TINY.parent)))


def test_a_start_with_one_that_does_not_fit_ends_in_one_line(tmp_path: Path) -> None:
    write_adapter(tmp_path / "bad.gguf", more=32)
    (path := tmp_path / "models.toml").write_text(
        f"[[model]]\nid = 'tiny'\nsource = '{TINY}'\n[[model]]\nid = 'bad'\nbase = 'tiny'\nadapter = 'bad.gguf'\n"
    )
    for name in ("bad", "bad2"):
        refused = inferq("up", name, "--port", "0", "--data-dir", tmp_path / "data", INFERQ_MODELS=str(path))
        assert refused.returncode == 2, refused.stderr
        said = refused.stderr.splitlines()[-1]
        assert (
            "bad.gguf: this adapter is not for tiny-llama.gguf" if name == "bad" else "there are tiny, bad,"
        ) in said


def test_it_is_fetched_as_models_are(tmp_path: Path) -> None:
    content = write_adapter(tmp_path / "formal.gguf").read_bytes()
    (path := tmp_path / "models.toml").write_text(
        f"[[model]]\nid = 'tiny'\nsource = '{TINY}'\n"
        f"[[model]]\nbase = 'tiny'\nadapter = 'hf:{REPOSITORY}/formal.gguf'\n"
    )
    with serving() as hub:
        hub.files = {"formal.gguf": content}
        environ = {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "",
        }
        pulled = inferq("pull", "tiny:formal", INFERQ_MODELS=str(path), **environ)
        assert pulled.returncode == 0, pulled.stderr
        assert [request.rpartition("/")[2] for request in hub.gets()] == ["formal.gguf"]
        hub.status = 500
        offline = inferq("infer", "-m", "tiny:formal", "-p", "a", "-n", "2", INFERQ_MODELS=str(path), **environ)
        assert offline.returncode == 0, offline.stderr
