"""A child ends with its parent, however that ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.stack import gone

CHILD = """
import ctypes, os
from shared.lifeline import {lifeline}
{lifeline}({argument})
os.write(1, b"ready\\n")
{wait}
"""
DEAF = "ctypes.PyDLL(None).sleep(60)"  # native code that keeps the interpreter from running, as a loading model does
FORK = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "child",
    [
        CHILD.format(lifeline="die_with_parent", argument="", wait="import time; time.sleep(60)"),
        pytest.param(
            CHILD.format(lifeline="die_at_eof", argument="0", wait=DEAF),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the end of a pipe"),
        ),
    ],
    ids=["die_with_parent", "die_at_eof"],
)
def test_a_lifeline_ends_a_child_whose_parent_was_killed(child: str) -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", FORK, child], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        lines = sorted(parent.stdout.readline().strip() for _ in range(2))
        assert lines[1] == b"ready"
        parent.kill()
        assert gone(int(lines[0]), within=3)
