"""A file that is there as a whole or not at all, whatever ends its writer: an error, a signal or a loss of power."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from shared.file_lock import FileLock

_SUFFIX = ".part"


@contextmanager
def write_whole(target: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """An empty file beside `target`, to write into: it becomes `target` when the block ends well, else it disappears.

    `mode` is that of the file, less the umask. What a writer of the same target has left that was killed is removed.
    Raises OSError.
    """
    remove_abandoned(target.parent, _prefix(target))
    part, lock = _begin(target, mode)
    try:
        yield part
        settle(part, target)
    finally:
        part.unlink(missing_ok=True)
        lock.close()


def settle(part: Path, target: Path) -> None:
    """Have a file that is written become `target`, of the same file system, to stay so after a loss of power.

    Raises OSError.
    """
    _flush(part)
    part.replace(target)
    flush_names(target.parent)


def flush_names(folder: Path) -> None:
    """Of the files in a folder, to the disk, as far as we may list them and its file system can. Raises OSError."""
    try:
        _flush(folder)
    except OSError as exc:
        if exc.errno not in (errno.EACCES, errno.EINVAL):
            raise


def _flush(path: Path) -> None:
    """To the disk: after a loss of power a name may be there before its content, and the other way round."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _begin(target: Path, mode: int) -> tuple[Path, FileLock]:
    """The new file, and its lock, which tells others that its writer lives."""
    while True:
        part = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}{_SUFFIX}")
        lock = FileLock(part, flags=os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=mode)
        lock.wait()
        if part.exists():
            return part, lock
        lock.close()  # somebody removed it before it was locked


def _prefix(target: Path) -> str:
    return f".{target.name}."


def remove_abandoned(folder: Path, prefix: str = ".") -> None:
    """What writers have left that were killed, of files whose parts begin with `prefix`."""
    with suppress(OSError):  # a folder that may be written to, but not listed
        for path in list(folder.iterdir()):
            if path.name.startswith(prefix) and path.suffix == _SUFFIX:
                with suppress(OSError), closing(FileLock(path, flags=os.O_RDWR)) as lock:  # somebody else's, or no file
                    if lock.take():
                        path.unlink()
