"""Memory that is no longer needed goes back to the system."""

from __future__ import annotations

import ctypes
import sys

import pytest

from shared.heap import Heap, _resident

MB = 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_freed_memory_goes_back() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("another libc")
    heap = Heap()
    heap.look()
    before = _resident()
    held = [bytes(20_000) for _ in range(5_000)]
    pinned = bytes(20_000)  # above them: without a trim nothing below it would go back
    assert _resident() > before + 80 * MB
    heap.look()  # while all of it is needed
    held.clear()
    assert _resident() > before + 40 * MB
    heap.look()
    assert _resident() < before + 20 * MB
    assert len(pinned) == 20_000
