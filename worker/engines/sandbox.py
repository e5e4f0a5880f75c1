"""A sandbox for an engine host: whatever takes it over finds no network and no files but its own.

Two rooms of the Linux kernel, entered without any privilege and never left. Landlock (5.13 and later) opens files only
below the paths that were named; from 6.7 on it also keeps from TCP, from 6.12 on from signals to other processes.
Seccomp refuses the system calls with which one reaches further: any socket to talk to somebody, any other program, any
other process. Elsewhere a host goes on without, and `Sandbox.missing` says what it lacks.

Numbers and layouts: linux/landlock.h, linux/seccomp.h, linux/capability.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_READ = 1 << 2 | 1 << 3  # files, folders
_FILES_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl: what files may have
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All that Landlock knows to forbid, by its version; later ones as the last."""
_EXECUTE = 1 << 0
_TCP = 3  # bind, connect
_SCOPES = 3  # abstract sockets, signals
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_KEPT_CAPABILITIES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them root reads files of others, as far as Landlock lets it."""
_CAPABILITIES_3 = 0x20080522

_SYSTEM = (
    *("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero", "/dev/full"),
    *("/etc/ld.so.cache", "/etc/localtime", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64"),
    *("/usr/share/zoneinfo", "/usr/share/locale", "/sys/devices/system", "/sys/fs/cgroup"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory"),
)
"""What libraries read of a system; nothing of it is anybody's secret."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Of each machine, its number for seccomp, and which column of `_CALLS` is its."""
_SECCOMP = (317, 277)
_SOCKET = (41, 198)
_CALLS = {
    "socketpair": (53, 199),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "pidfd_getfd": (438, 438),
}
"""Refused; `socket` is, but for streams over unix sockets, which a host listens on."""
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where seccomp has a call's number, the machine, and its first two arguments (their lower halves)."""
_X32 = 0x40000000
_STEP = 8
"""Bytes of a step of the filter."""
_STREAM = 1


class Sandbox:
    """`restrict` before any thread is started, `refuse_calls` once all that is needed has been imported.

    `missing` says, in words, what this system does not have.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._libc = ctypes.CDLL(None, use_errno=True)

    def restrict(self, reads: Iterable[str | Path], folder: str | Path, executes: Iterable[str | Path] = ()) -> None:
        """From now on only `reads`, the system's libraries and Python's are read, only in `folder` is written, and of
        programs only `executes` are started."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform != "linux":
            self.missing.append("Linux")
            return
        self._libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        self._drop_capabilities()
        version = self._libc.syscall(_CREATE_RULESET, None, 0, 1)
        if version < 1:
            self.missing.append("Landlock")
            return
        if version < _SCOPES_SINCE:
            self.missing.append("scopes of signals")
        handled = _RIGHTS[min(version, max(_RIGHTS))]
        attributes = struct.pack("=QQQ", handled, _TCP, _SCOPES)
        size = 24 if version >= _SCOPES_SINCE else 16 if version >= _NETWORK_SINCE else 8
        rules = self._call(_CREATE_RULESET, attributes, size, 0)
        try:
            libraries = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *_SYSTEM, f"/proc/{os.getpid()}"]
            for path in (*reads, *libraries):
                self._allow(rules, path, _READ)
            self._allow(rules, folder, handled & ~_EXECUTE)
            for path in executes:
                self._allow(rules, path, _READ | _EXECUTE)
            self._call(_RESTRICT_SELF, rules, 0)
        finally:
            os.close(rules)

    def refuse_calls(self, *, but: str = "") -> None:
        """From now on no thread of this process opens a connection, starts a program or looks into a process.

        What is called `but` stays: whoever is to become another program needs `execve` for that.
        """
        machine, column = _ARCHITECTURES.get(platform.machine(), (0, 0))
        if sys.platform != "linux" or not machine or sys.maxsize < _X32 << 2:
            self.missing.append("seccomp")
            return
        program = b"".join(_filter(machine, column, but))
        code = ctypes.create_string_buffer(program)
        head = struct.pack("@HP", len(program) // _STEP, ctypes.addressof(code))
        if self._libc.syscall(_SECCOMP[column], _SET_MODE_FILTER, _ALL_THREADS, head) != 0:
            self.missing.append("seccomp")

    def _allow(self, rules: int, path: str | Path, rights: int) -> None:
        """What is not there needs no rule."""
        with contextlib.suppress(OSError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if not os.path.isdir(path):  # noqa: PTH112 - any kind of file
                    rights &= _FILES_ONLY
                self._call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
            finally:
                os.close(place)

    def _drop_capabilities(self) -> None:
        """What root has beyond others; where it cannot be dropped, nothing of it was there."""
        head = struct.pack("=Ii", _CAPABILITIES_3, 0)
        data = ctypes.create_string_buffer(24)
        if self._libc.capget(head, data) == 0:
            effective, permitted, *_ = (value & _KEPT_CAPABILITIES for value in struct.unpack_from("=3I", data))
            self._libc.capset(head, struct.pack("=6I", effective, permitted, 0, 0, 0, 0))

    def _call(self, number: int, *arguments: object) -> int:
        result: int = self._libc.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result


def _filter(machine: int, column: int, but: str) -> Iterator[bytes]:
    """A program of Berkeley's packet filter, as seccomp runs it at each call. Jumps count what is left out."""
    refused = [numbers[column] for name, numbers in _CALLS.items() if name != but]
    yield _step(_LOAD, _MACHINE)
    yield _step(_EQUAL, machine, yes=1)
    yield _step(_RETURN, _REFUSE)
    yield _step(_LOAD, _NUMBER)
    yield _step(_AT_LEAST, _X32, no=1)  # the calls of x32, under other numbers
    yield _step(_RETURN, _REFUSE)
    for number in refused:
        yield _step(_EQUAL, number, no=1)
        yield _step(_RETURN, _REFUSE)
    yield _step(_EQUAL, _SOCKET[column], yes=1)
    yield _step(_RETURN, _ALLOW)
    yield _step(_LOAD, _FIRST)
    yield _step(_EQUAL, 1, yes=1)  # AF_UNIX
    yield _step(_RETURN, _REFUSE)
    yield _step(_LOAD, _SECOND)
    yield _step(_AND, 0xF)
    yield _step(_EQUAL, _STREAM, yes=1)
    yield _step(_RETURN, _REFUSE)
    yield _step(_RETURN, _ALLOW)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
