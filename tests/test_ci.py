"""What `.ci/run` says of a suite that has failed is why, in a few lines, and none of them keeps it from its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.report import ENDING, verdict
from tests.pace import slowness

ROOT = Path(__file__).parents[1]
WHY = ROOT / ".ci" / "why.py"
FAILING = """
import sys

def test_adds() -> None:
    sys.stderr.write("2026-11-29T09:31:57.997Z INFO worker.slot_worker[1] job ended\\n" * 99)
    assert {numbers} == 3

def test_counts() -> None:
    pass
"""


def why(tmp_path: Path, printed: str, lines: int = 40) -> list[str]:
    log = tmp_path / "log"
    log.write_text(printed)
    found = subprocess.run([sys.executable, WHY, log, str(lines)], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


@pytest.mark.parametrize("numbers", ["1 + 1", "[*range(200)]"])
def test_a_test_that_fails_is_told_with_what_it_asserts(tmp_path: Path, numbers: str) -> None:
    module = tmp_path / "test_sums.py"
    module.write_text(FAILING.replace("{numbers}", numbers))
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(module)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert len(printed.splitlines()) > 100
    found = why(tmp_path, f"== test\n{printed}make: *** [Makefile:21: test] Error 1\n")
    assert len(found) < 15
    for told in ("test_adds", "== 3", "AssertionError", "1 failed, 1 passed"):
        assert any(told in line for line in found), found
    assert not any("job ended" in line for line in found)
    assert "1 failed, 1 passed" in why(tmp_path, printed, 3)[-1]


def test_of_others_the_last_lines_are_told(tmp_path: Path) -> None:
    story = "\n".join(["request 7 (stream) is lost:", *(f"  +{n}.00 asks" for n in range(99))])
    last = verdict([6, 7], {7: [f"SmolLM2: {story}"]}, "--requests 200")
    found = why(tmp_path, "== seed 6\nFAULT\n\n" * 50 + f"{last}\nmake: *** [Makefile:31: chaos] Error 1\n")
    assert len(found) == 40
    assert found[-3:-1] == ["seeds 6, 7: 1 promises broken", 'again: make chaos ARGS="--requests 200 --seed 7"']
    begin = found.index("BROKEN, SmolLM2: request 7 (stream) is lost:")
    assert found[begin + 2 : begin + 2 + ENDING] == [f"  +{n}.00 asks" for n in range(99 - ENDING, 99)]
    assert verdict([6], {}, "").strip() == "seeds 6: every promise kept"


HANGS = """
import subprocess, sys, threading
from tests.pace import slowness
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
def waits_for_nothing() -> None:
    threading.Event().wait()
waits_for_nothing()
"""


def test_a_suite_that_hangs_is_ended_says_where_it_stands_and_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(f"hangs:\n\t@cd {ROOT} && {sys.executable} {tmp_path}/hangs.py\n")
    (tmp_path / "hangs.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{HANGS}")
    most = round(5 * slowness())
    script = f"""
        source .ci/suites.sh
        most={most}
        slow hangs make --no-print-directory -C {tmp_path} hangs
        within 60 fails sh -c 'echo for a reason; exit 3'
        slow passes echo in time
        SECONDS=$begun_by
        slow late echo too late
        SECONDS=$((over_by - 1))
        within 60 last sleep 60
        [ "$SECONDS" -lt $((88 * 60)) ] || exit 9
        summary
    """
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-uc", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran
    printed, _, table = ran.stdout.partition("\n== summary\n")
    assert "in waits_for_nothing" in printed
    assert "too late" not in printed
    rows = [" ".join(line.split()[:-2] if "min" in line else line.split()) for line in table.splitlines()[:5]]
    assert rows == [
        "hangs FAILED with status 124",
        "fails FAILED with status 3",
        "passes passed",
        "late not run: out of time",
        "last FAILED with status 124",
    ]
    assert f"hangs: did not end within {most} s" in table
    assert "for a reason" in table
    [child] = [int(line.split()[1]) for line in printed.splitlines() if line.startswith("child ")]
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]


VIRTUAL = """() {
    [ "$1" = .ci/within.py ] || return 0
    local took="took_${4//-/_}"
    took=${!took:-100000}
    SECONDS=$((SECONDS + (took < $2 ? took : $2)))
    echo "over after $SECONDS"
    [ "$took" -lt "$2" ]
}"""
"""Stands in for what runs a suite: nothing is run, and all that it would have taken has passed."""


@pytest.mark.parametrize("took", [{}, {"check": 300, "test": 2500}, {"check": 600, "test": 2990}], ids=str)
def test_the_table_is_told_before_the_run_is_killed_where_all_suites_hang_but_these(took: dict[str, int]) -> None:
    environ = os.environ | {f"took_{name}": str(seconds) for name, seconds in took.items()}
    environ |= {"BASH_FUNC_python3%%": VIRTUAL}
    ran = subprocess.run(
        [ROOT / ".ci" / "run"], env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 1, ran
    printed, _, table = ran.stdout.partition("\n== summary\n")
    assert max(int(line.split()[-1]) for line in printed.splitlines() if line.startswith("over after ")) < 88 * 60
    told = {line.split()[0]: line for line in table.partition("\n\n")[0].splitlines()}
    assert told.keys() >= {"check", "test", "chaos", "model", "browser", "docker"}
    assert all(("passed" in told[name]) == (name in took) for name in ("check", "test"))
