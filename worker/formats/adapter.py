"""LoRA adapters in GGUF: whether one fits a model. llama.cpp refuses one that does not without a reason."""

from __future__ import annotations

from pathlib import Path

from shared.misfits import WrongFile
from worker.formats.gguf import read_header
from worker.formats.gguf_header import Header, Tensor

_SIDES = ".lora_a", ".lora_b"
_IGNORED = "_norm.weight"
"""Ends the names of tensors that llama.cpp passes over."""
_TABLE = "token_embd.weight"
"""Its rows are looked up, so its adapter lies the other way round."""


def check_adapter(path: Path, model: Header, name: str) -> Path:
    """Where an adapter lies, whose every matrix fits one of the model, which is in a file of that name.

    Raises ModelFileError.
    """
    header = read_header(path)
    kind = header.metadata.get("adapter.type")
    if header.metadata.get("general.type") != "adapter" or kind != "lora":
        raise WrongFile(f"{path}: this is no LoRA adapter: general.type and adapter.type do not say so")
    if header.architecture != model.architecture:
        raise WrongFile(f"{path}: an adapter for {header.architecture}, but {name} is {model.architecture}")
    known = {tensor.name: tensor for tensor in model.tensors}
    found = {tensor.name: tensor for tensor in header.tensors if not tensor.name.endswith(_IGNORED)}
    for tensor in found.values():
        whole, side = tensor.name[: -len(_SIDES[0])], tensor.name[-len(_SIDES[0]) :]
        if side not in _SIDES:
            raise WrongFile(f"{path}: this is no LoRA adapter that can be applied: it has the tensor {tensor.name!r}")
        a, b = (found.get(whole + each) for each in _SIDES)
        if whole not in known or not a or not b:
            what = f"{name} has no {whole!r}" if whole not in known else f"of {whole!r} it has one half alone"
            raise WrongFile(f"{path}: this adapter is not for {name}: {what}")
        _check_shapes(path, known[whole], a, b, name)
    return path.resolve()


def _check_shapes(path: Path, whole: Tensor, a: Tensor, b: Tensor, name: str) -> None:
    """Both halves together make a matrix of the whole one's shape, by as many columns of one as rows of the other."""
    (a0, a1, *a_further), (b0, b1, *b_further) = _filled(a), _filled(b)
    made, inner = ((b1, a1), (a0, b0)) if whole.name == _TABLE else ((a0, b1), (a1, b0))
    if [*made] != _filled(whole)[:2] or inner[0] != inner[1] or not a_further == b_further == _filled(whole)[2:]:
        shapes = " and ".join(str(half.shape) for half in (a, b))
        raise WrongFile(
            f"{path}: this adapter is not for {name}: its halves of {whole.name!r} are {shapes}, where the model has"
            f" {whole.shape}"
        )


def _filled(tensor: Tensor) -> list[int]:
    return [*tensor.shape, 1, 1, 1][:4]
