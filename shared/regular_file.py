"""Opening files that somebody else may have put there: regular ones alone, without a wait, and never without a bound.

A FIFO would be waited for until somebody writes to it, and a device may have no end.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

LARGEST_TEXT = 16 << 20
"""Bytes of a file that is read as a whole: a prompt, a configuration, keys."""
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_DESCRIPTORS = (Path("/dev/fd"), Path("/proc/self/fd"))
"""What lies here was given to this process by whoever started it, as the shell does for `<(…)`: it may be a pipe."""


def find(text: str, folder: Path = Path()) -> Path:
    """The absolute path that `text` means, beside `folder` or below the home that a `~` names; nothing need be there.

    Raises OSError for what can be no path.
    """
    try:
        path = (folder / Path(text).expanduser()).resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (RuntimeError, ValueError) as exc:  # no such home, a loop of links, a NUL
        raise OSError(errno.EINVAL, str(exc), text) from exc
    return path


def find_named(text: str, folder: Path = Path()) -> Path:
    """The same, but a file that is a link keeps the name of the link, as in the hub's cache, where it tells which part
    of a model it is. Raises OSError.
    """
    path, given = find(text, folder), folder / Path(text).expanduser()
    return path if given.name in ("", "..") else find(str(given.parent)) / given.name


def open_descriptor(path: Path, flags: int, mode: int = 0o666, folder: int | None = None) -> int:
    """`os.open` of a regular file, or of a folder where `flags` ask for one. Raises OSError, also for all others.

    `folder` is the descriptor of the one in which a relative path begins.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode, dir_fd=folder)
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != (stat.S_IFDIR if flags & os.O_DIRECTORY else stat.S_IFREG):
        os.close(fd)
        raise OSError(errno.EINVAL, f"this is {_KINDS.get(kind, 'something else')}, not a file", str(path))
    return fd


def open_regular(path: Path, folder: int | None = None) -> BufferedReader:
    """To read from; see `open_descriptor`. Raises OSError."""
    return os.fdopen(open_descriptor(path, os.O_RDONLY, folder=folder), "rb")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The whole of a file of at most `most` bytes, by default LARGEST_TEXT. Raises OSError."""
    most = LARGEST_TEXT if most is None else most
    handed_over = path == Path("/dev/stdin") or path.parent in _DESCRIPTORS
    with path.open("rb") if handed_over else open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EINVAL, f"longer than {most} bytes", str(path))
    return content


def read_text(path: Path, most: int | None = None) -> str:
    """The same as UTF-8, every end of a line as `\\n`. Raises OSError, UnicodeDecodeError."""
    return read_bytes(path, most).decode().replace("\r\n", "\n").replace("\r", "\n")
