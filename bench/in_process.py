"""The vectors of `minilm` by sentence-transformers, in an environment that is made for it: no gateway and no queue.

It has the checkpoint out of which inferq makes its own file, in 32 bits.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import catalogue
from shared.catalogue import Wheel
from tests.clients import environments, table
from tests.clients.table import Client

PACKAGES = ("sentence-transformers==6.2.0", "torch==2.13.0")
_SCRIPT = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
import torch
from sentence_transformers import SentenceTransformer
package, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
[site] = find_spec(package).submodule_search_locations
model = SentenceTransformer(str(Path(site) / folder), device="cpu")
print("ready", flush=True)
for line in sys.stdin:
    vectors = model.encode(json.loads(line), batch_size=32, normalize_embeddings=True, show_progress_bar=False)
    print(len(vectors), flush=True)
"""


class InProcess:
    """Texts are given to it one request after the other."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.pid = child.pid

    def ask(self, texts: list[str]) -> None:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(texts) + "\n")
        self._child.stdin.flush()
        told = self._child.stdout.readline()
        assert told == f"{len(texts)}\n", told or "sentence-transformers has ended"


@contextmanager
def sentence_transformers(model: str, threads: int) -> Iterator[InProcess]:
    """Raises NotInstalled."""
    wheel = catalogue.resolve(model).origin
    assert isinstance(wheel, Wheel)
    before = next(iter(table.read().values())).before
    client = Client("sentence-transformers", (*PACKAGES, wheel.requirement), "bench.py", "", before)
    python, _ = environments.command(client, environments.prepare(client), Path(client.script))
    environ = {**os.environ, "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    command = [python, "-c", _SCRIPT, *wheel.member.split("/", 1), str(threads)]
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "ready\n", "sentence-transformers does not start"
            yield InProcess(child)
        finally:
            child.kill()
