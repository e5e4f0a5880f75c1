"""What inferq is made of, as `make sbom` tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_the_sbom_names_all_that_is_locked_and_no_time(tmp_path: Path) -> None:
    file = tmp_path / "sbom" / "inferq.cdx.json"
    subprocess.run(["make", "--silent", "--old-file", ".venv/dev", "sbom", f"SBOM={file}"], cwd=ROOT, check=True)
    told = json.loads(file.read_text())
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "inferq")
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert len(locked) > 30
    assert {part["name"]: part["version"] for part in told["components"]} == locked
    assert not {"timestamp", "serialNumber"} & (told.keys() | told["metadata"].keys())
