"""What may be over without anybody changing a file: the disk is full or fails, or there are too many open files."""

from __future__ import annotations

_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what has brought it about, comes of the machine as it is now, and not of what was read."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, _LASTING)
