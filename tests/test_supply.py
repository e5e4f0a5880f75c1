"""What inferq is made of, as `make sbom` tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

VENDOR = ROOT / "gateway" / "ui" / "static" / "vendor"


def vendored() -> set[str]:
    """Libraries with their versions, as the modules of the page begin with them."""
    heads = [module.read_text("utf-8").partition("*/")[0] for module in VENDOR.glob("*.js")]
    return {named for head in heads for named in re.findall(r"([@\w./-]+ [\d.]+), ", head)}


def test_the_licence_of_every_library_of_the_page_lies_with_it() -> None:
    licences = (VENDOR / "LICENCES.txt").read_text("utf-8")
    assert len(vendored()) > 8
    assert not [named for named in vendored() if f"{'-' * 80}\n{named} (" not in licences]


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_the_sbom_names_all_that_is_locked_and_no_time(tmp_path: Path) -> None:
    file = tmp_path / "sbom" / "inferq.cdx.json"
    subprocess.run(["make", "--silent", "--old-file", ".venv/dev", "sbom", f"SBOM={file}"], cwd=ROOT, check=True)
    told = json.loads(file.read_text())
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "inferq")
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert len(locked) > 30
    of_page = [part for part in told["components"] if part["purl"].startswith("pkg:npm/")]
    assert {part["name"]: part["version"] for part in told["components"] if part not in of_page} == locked
    assert {f"{part.get('group', '')}/{part['name']} {part['version']}".lstrip("/") for part in of_page} == vendored()
    assert all(part["licenses"] for part in of_page)
    assert not {"timestamp", "serialNumber"} & (told.keys() | told["metadata"].keys())
