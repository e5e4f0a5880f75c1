"""The tools that look at, convert and judge model files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize, quantize

from tests.commands import inferq, output
from tests.fixtures.make_legacy import MODELS, REFERENCE, write
from tests.tiny import TINY
from worker.formats.description import describe

GENUINE = MODELS / "rustformers" / "gptj-Q4_0-GGJT.bin"


class TestInfo:
    def test_a_gguf_file(self) -> None:
        said = output("info", TINY)
        assert "architecture   llama" in said
        assert "parameters     459,392" in said
        assert "token_embd.weight" not in said

    def test_a_legacy_file(self) -> None:
        said = json.loads(output("info", GENUINE, "--json", "--arch", "gptj"))
        assert (said["container"], said["architecture"], said["quantisation"]) == ("ggjt", "gptj", "Q4_0")
        assert "tensors" not in said

    def test_tensors_and_tokens(self) -> None:
        assert "token_embd.weight" in output("info", TINY, "--tensors")
        assert "' return'" in output("info", GENUINE, "--tokens")
        said = json.loads(output("info", TINY, "--tensors", "--tokens", "--json"))
        assert len(said["tokens"]) == 512
        assert {"name": "token_embd.weight", "type": "F16", "shape": [128, 512]}.items() <= said["tensors"][0].items()

    def test_a_model_by_its_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "models.toml").write_text(f'[[model]]\nid = "tiny"\nsource = "{TINY}"\n')
        known = [("info", "tiny", "--models", tmp_path / "models.toml"), ("info", TINY)]
        told = [inferq(*arguments, INFERQ_MEMORY="1GiB").stdout for arguments in known]  # what is free changes
        assert told[0] == told[1] != ""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for name, words in (("echo", "has no file"), ("minilmm", "mean 'minilm'")):
            done = inferq("info", name)
            assert (done.returncode, words in done.stderr) == (2, True), done.stderr

    def test_what_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "text.gguf").write_text("Hello")
        for arguments in ((tmp_path / "text.gguf",), (tmp_path / "none",), (TINY, "--arch", "gptj")):
            done = inferq("info", *arguments)
            assert done.returncode != 0
            assert str(arguments[0]) in done.stderr


class TestTokens:
    @pytest.mark.parametrize("file", [TINY, GENUINE], ids=["GGUF", "legacy"])
    def test_ids_and_texts(self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        said = json.loads(output("tokens", "-m", file, "-p", REFERENCE["prompt"], "--json"))
        assert "".join(token["text"] for token in said) == REFERENCE["prompt"]
        if file == TINY:
            assert [token["id"] for token in said] == REFERENCE["ids"]
        assert output("tokens", "-m", file, given="def").split() == [str(said[0]["id"]), "'def'"]

    def test_a_prompt_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "prompt").write_text("def")
        assert output("tokens", "-m", TINY, "-f", tmp_path / "prompt") == output("tokens", "-m", TINY, "-p", "def")

    def test_of_another_engine(self, tmp_path: Path) -> None:
        file = write("gptj", "F16", tmp_path / "model.bin")
        flags = ("--engine", "ctransformers", "--arch", "gptj", "--json")
        said = json.loads(output("tokens", "-m", file, "-p", REFERENCE["prompt"], *flags))
        assert [token["id"] for token in said] == REFERENCE["ids"]


class TestConvert:
    def test_a_checkpoint(self, tmp_path: Path) -> None:
        target = tmp_path / "model.gguf"
        assert str(target) in output("convert", MODELS / "gpt2", target, "--type", "f32")
        assert describe(target).quantisation == "F32"
        refused = inferq("convert", MODELS / "gpt2", target)
        assert "--force" in refused.stderr
        output("convert", MODELS / "gpt2", target, "--force")
        assert describe(target).quantisation == "F16"

    def test_a_legacy_file(self, tmp_path: Path) -> None:
        output("convert", GENUINE, tmp_path / "model.gguf", "--arch", "gptj")
        assert describe(tmp_path / "model.gguf").architecture == "phi2"

    def test_what_cannot_be_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "cut.bin").write_bytes(GENUINE.read_bytes()[:-1])
        for arguments in (("cut.bin",), (".",), ("none",)):
            done = inferq("convert", tmp_path / arguments[0], tmp_path / "model.gguf")
            assert done.returncode != 0
            assert "Traceback" not in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["cut.bin"]


class TestQuantize:
    @pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
    def test_each_matrix_is_quantised_and_the_rest_is_kept(self, kind: str, tmp_path: Path) -> None:
        """By the reference implementation in Python, which writes the same bytes as llama.cpp."""
        target = tmp_path / "model.gguf"
        output("quantize", TINY, target, kind, "--pure")
        before = {tensor.name: tensor for tensor in GGUFReader(TINY).tensors}
        quantised = 0
        for tensor in GGUFReader(target).tensors:
            weights = dequantize(before[tensor.name].data, before[tensor.name].tensor_type)
            if tensor.tensor_type.name == kind:
                assert quantize(weights.astype(np.float32), tensor.tensor_type).tobytes() == tensor.data.tobytes()
                quantised += 1
            else:
                assert len(before[tensor.name].shape) == 1
                assert tensor.data.tobytes() == before[tensor.name].data.tobytes()
        assert quantised == 16
        assert describe(target).quantisation == kind

    def test_the_output_keeps_more_bits_unless_told_otherwise(self, tmp_path: Path) -> None:
        output("quantize", TINY, tmp_path / "model.gguf", "q4_0")
        kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "model.gguf").tensors}
        assert kinds["blk.0.ffn_up.weight"] == "Q4_0"
        assert kinds["output.weight"] != "Q4_0"

    def test_quantised_weights_are_refused_unless_allowed(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
        output("quantize", TINY, first, "Q8_0")
        refused = inferq("quantize", first, second, "Q4_0")
        assert "--allow-requantize" in refused.stderr
        assert not second.exists()
        output("quantize", first, second, "Q4_0", "--allow-requantize")
        refused = inferq("quantize", TINY, second, "Q9_9", "--force")
        assert "there are Q4_0" in refused.stderr

    def test_a_legacy_file_is_converted_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        source = write("gptneox", "F16", tmp_path / "model.bin")
        output("quantize", source, tmp_path / "model.gguf", "Q8_0", "--arch", "gptneox")
        assert describe(tmp_path / "model.gguf").quantisation == "Q8_0"


class TestPerplexity:
    @pytest.fixture
    def text(self, tmp_path: Path) -> Path:
        path = tmp_path / "text.txt"
        path.write_text("def main(args): return main(args) and import os, sys for line in lines\n" * 3)
        return path

    def perplexity(self, *flags: str | Path) -> tuple[float, float, int]:
        said = json.loads(output("perplexity", "--json", *flags))
        return said["perplexity"], said["standard_error"], said["tokens"]

    def test_two_engines_agree(self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Computed by forced decoding in the one, and from all logits in the other."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        file = write("gptj", "F16", tmp_path / "model.bin")
        one = self.perplexity("-m", file, "-f", text, "--context", "64", "--engine", "llama.cpp", "--arch", "gptj")
        two = self.perplexity("-m", file, "-f", text, "--context", "64", "--engine", "ctransformers")
        assert one[2] == two[2]
        assert one[0] == pytest.approx(two[0], rel=0.01)
        assert one[1] == pytest.approx(two[1], rel=0.02)

    def test_it_is_told_in_words_too(self, text: Path) -> None:
        assert "perplexity " in output("perplexity", "-m", TINY, "-f", text, "--context", "128")
        refused = inferq("perplexity", "-m", TINY, "-f", text, "--context", "16", "--stride", "16")
        assert "--stride" in refused.stderr
        text.write_text("a")
        refused = inferq("perplexity", "-m", TINY, "-f", text)
        assert "no second token" in refused.stderr
