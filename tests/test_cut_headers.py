"""A header that is read while its file is cut off: whoever reads it refuses it, and lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures import make_legacy
from tests.tiny import roomy

READS = """
import sys, time
from pathlib import Path
from shared.errors import ModelFileError
from worker.formats import gguf, legacy
path, read = Path(sys.argv[1]), gguf.read_header if sys.argv[2] == "gguf" else legacy.read_legacy
print("begun", flush=True)
whole = cut = 0
until = time.monotonic() + 60
while time.monotonic() < until and min(whole, cut) < 40:
    try:
        read(path)
        whole += 1
    except ModelFileError:
        cut += 1
print(whole, cut)
"""


@pytest.mark.parametrize("kind", ["gguf", "legacy"])
def test_a_file_that_is_cut_off_while_its_header_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "gguf":
        path = roomy(tmp_path)
    else:
        make_legacy.write("gpt2", "F16", path)
    content = path.read_bytes()
    with subprocess.Popen([sys.executable, "-c", READS, path, kind], stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        assert reading.stdout.readline() == "begun\n"
        with path.open("r+b") as file:
            for number in range(1 << 20):
                if reading.poll() is not None:
                    break
                os.truncate(path, number * 97 % 4096)
                time.sleep(0.0005)
                file.seek(0)
                file.write(content)
                file.flush()
                time.sleep(0.0005)
        told = reading.stdout.read().split()
    assert reading.returncode == 0, "a signal has ended it"
    assert min(map(int, told)) >= 40
