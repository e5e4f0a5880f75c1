"""The project as a package: what is installed, and what that leaves in the clone."""

from __future__ import annotations

import os
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
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):  # what git passes over the backend does, too
        shutil.copy(ROOT / name, clone)
    before = sorted(clone.rglob("*"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "-w", tmp_path, clone], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(clone.rglob("*")) == before
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith(".dist-info/licenses/gateway/ui/static/vendor/LICENCES.txt")]
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == {path.relative_to(clone).as_posix() for name in PACKAGES for path in (clone / name).rglob("*.*")}
    told = _served(wheel, tmp_path / "installed")
    assert {"chat/main.js", "overview/main.js", "style/base.css", "vendor/LICENCES.txt"} <= set(told)


def _served(wheel: Path, place: Path) -> list[str]:
    """The files of the page, as they are found beside the code of a wheel."""
    zipfile.ZipFile(wheel).extractall(place)
    code = "import gateway.ui.views as ui; print(ui.__file__, *ui.site().pages, *ui.site().assets)"
    environment = os.environ | {"PYTHONPATH": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    file, *told = done.stdout.split()
    assert file.startswith(str(place))
    return told
