"""What may be over without anybody changing a file: the disk is full or fails, or there are too many open files."""

from __future__ import annotations

import errno

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ESTALE,
    errno.ETXTBSY,
}


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what has brought it about, comes of the machine as it is now, and not of what was read."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, TimeoutError) or (isinstance(cause, OSError) and cause.errno in _PASSING)
