"""The tiny model in float32 and with a chat template, of which transformers has told how likely tokens are: see
`fixtures/make_likelihoods.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.commands import output
from tests.fixtures.make_legacy import MODELS

REFERENCE = json.loads((MODELS.parent / "likelihoods.json").read_text())
NEAR = 1e-3
"""In natural logarithms."""
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def write(folder: Path) -> Path:
    """`tiny.gguf`, in a folder that is there."""
    checkpoint = shutil.copytree(MODELS / "llama", folder / "checkpoint")
    told = checkpoint / "tokenizer_config.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "chat_template": TEMPLATE}))
    output("convert", checkpoint, folder / "tiny.gguf", "--type", "f32")
    return folder / "tiny.gguf"
