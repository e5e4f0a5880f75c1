"""The project as a package: what is installed, and what that leaves in the clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("inferq", "gateway", "worker", "shared")


def test_a_wheel_has_all_of_it_and_leaves_nothing_in_the_clone(tmp_path: Path) -> None:
    """As `pip install .` makes one, but with the backend that is here."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    before = sorted(clone.rglob("*"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "-w", tmp_path, clone], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(clone.rglob("*")) == before
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {path.relative_to(clone).as_posix() for name in PACKAGES for path in (clone / name).rglob("*.*")}
