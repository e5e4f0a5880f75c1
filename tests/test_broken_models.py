"""What is said of the files in a folder that cannot be served: each has its reason, which is the same everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from inferq.agent.stock import Stock
from shared.config import Config
from tests.adapters import write_adapter
from tests.bare_gguf import make
from tests.commands import inferq
from tests.tiny import TINY, split


def fill(folder: Path) -> dict[str, str]:
    """The reasons that are to be told, by the names of the models."""
    for name in ("whole", "merged-lora"):
        shutil.copy(TINY, folder / f"{name}.gguf")
    (folder / "cut.gguf").write_bytes(TINY.read_bytes()[:500_000])
    (folder / "empty.gguf").touch()
    (folder / "page.gguf").write_text("<!DOCTYPE html><html>")
    write_adapter(folder / "formal.gguf")
    make(folder / "vision.gguf", "clip")
    make(folder / "mmproj-vision.gguf", "clip")
    make(folder / "calibrated.gguf", "", general__type="imatrix", tensors=("blk.0.w.counts",))
    for missing in (1, 2):
        split(TINY, folder / f"lacks{missing}.gguf")
        (folder / f"lacks{missing}-0000{missing}-of-00004.gguf").unlink()
    return {
        "cut": "cut.gguf: ",
        "empty": "empty.gguf: an empty file",
        "page": "page.gguf: a web page",
        "formal": "formal.gguf: this is no model that can be served, but a LoRA adapter",
        "vision": "vision.gguf: this is no model that can be served, but a projector",
        "mmproj-vision.gguf": "mmproj-vision.gguf: this is no model that can be served, but a projector",
        "merged-lora.gguf": "its name says that it goes with a model",
        "calibrated": "calibrated.gguf: at byte 24: this is an importance matrix",
        "lacks1": "lacks1-00002-of-00004.gguf: this is no model that can be served, but part 2 of 4",
        "lacks2": "lacks2-00001-of-00004.gguf: of the 4 files of this model 1 cannot be read, which have to be in its",
    }


def test_each_has_its_reason_and_what_offers_them_says_the_same(tmp_path: Path) -> None:
    (folder := tmp_path / "models").mkdir()
    expected = fill(folder)
    listed = json.loads(inferq("models", "--json", "--models", str(folder)).stdout)
    told = {each["id"]: each["reason"] for each in listed}
    assert told["whole"] is told["echo"] is None
    reasons = {name: reason for name, reason in told.items() if reason}
    assert reasons.keys() == expected.keys()
    assert {name: reason for name, reason in reasons.items() if not reason.startswith(expected[name])} == {}
    assert "truncated" in reasons["cut"]
    assert str(tmp_path) not in str(reasons)

    stock = Stock(Config(models=str(folder)), lambda model: model)
    stock.look()
    offered = {article.id: article.fault for article in stock.articles.values() if article.fault}
    assert offered == {name: reason for name, reason in reasons.items() if name in stock.articles}
    assert reasons.keys() - offered.keys() == {"mmproj-vision.gguf", "merged-lora.gguf"}, "those are not offered at all"

    _, table, _ = inferq("models", "--models", str(folder)).stdout.split("\n\n")
    head, *rows = table.splitlines()
    assert head.split(maxsplit=1) == ["ID", "WHY IT CANNOT BE SERVED"]
    assert {row.split(maxsplit=1)[0]: row.split(maxsplit=1)[1] for row in rows} == reasons


def test_what_goes_with_a_model_of_models_toml_is_no_fault(tmp_path: Path) -> None:
    shutil.copy(TINY, tmp_path / "base.gguf")
    write_adapter(tmp_path / "lora-formal.gguf")
    (tmp_path / "models.toml").write_text('[[model]]\nid = "mine"\nsource = "base.gguf"\nlora = ["lora-formal.gguf"]\n')
    listed = json.loads(inferq("models", "--json", "--models", str(tmp_path)).stdout)
    assert {each["id"] for each in listed if each["reason"]} == set()
