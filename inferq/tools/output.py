"""Writing a large file: whole or not at all, never over another by accident, and with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from shared.errors import InferqError, InvalidRequest
from shared.whole_file import write_whole

force_flag = click.option("--force", is_flag=True, help="overwrite DST")


def check_free(target: Path, *, force: bool, param: str = "DST") -> None:
    """Raises InvalidRequest when there is such a file already, unless `force`, or when there can be none."""
    if target.exists() and not (force and target.is_file()):
        what = "it exists already; --force overwrites it" if target.is_file() else "it exists, and is no file"
        raise InvalidRequest(f"{target}: {what}", param=param)


@contextmanager
def create(target: Path, *, force: bool) -> Iterator[Path]:
    """A place to write to. It becomes `target` when the block ends well, and disappears when it does not.

    Raises what `check_free` does.
    """
    check_free(target, force=force)
    try:
        with write_whole(target) as part:
            yield part
    except OSError as exc:
        raise InferqError(f"{target}: cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, if that is a terminal. It is told the bytes that are done, and all of them."""
    from tqdm import tqdm

    with tqdm(desc=title, unit="B", unit_scale=True, disable=None, leave=False) as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield progress
