"""Files that are fetched over HTTP: what has arrived stays, whatever ends it, and only what is whole gets its name."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2
from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # it is documented
from tqdm import tqdm

from shared import checksums
from shared.disturbance import Disturbance
from shared.file_lock import FileLock
from shared.progress import FETCHING, step
from shared.whole_file import settle

log = logging.getLogger("inferq.pull")

_SILENCE = httpx2.Timeout(10.0, connect=10.0)
"""Seconds that a server may be silent; a slow one may take as long as it wants."""
_TRIES, _PAUSE = 4, 1.0
"""Times that it is asked for more while nothing comes, and seconds between the first two of them."""
_READINGS = 2
"""Times that a file is fetched whose bytes turn out to be others."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch, as its server describes it."""

    name: str
    url: str
    place: Path
    """Where it lies once it is whole; before that beside it, with `.part` behind its name."""
    lock: Path
    """Whoever fetches it has this one."""
    size: int
    """Bytes."""
    etag: str
    """Of Git LFS's files, which models are, their SHA-256."""

    @property
    def part(self) -> Path:
        return self.place.with_name(self.place.name + ".part")


def fetch_all(files: Sequence[RemoteFile]) -> None:
    """Fetch files, one after the other, with one bar on a terminal, as far as nobody else does or has.

    Raises OSError: the disk has no room for them, they cannot be written, or their bytes are others again and again;
    and what the client raises that fetches them.
    """
    files = list({file.place: file for file in files}.values())  # two names may have one content
    with ExitStack() as stack:
        for file in sorted(files, key=lambda each: each.place):  # in one order for all, so that no two wait crosswise
            for folder in (file.place.parent, file.lock.parent):
                folder.mkdir(parents=True, exist_ok=True)
            waiting = partial(log.info, "waiting for another process that fetches %s", file.name)
            stack.enter_context(FileLock(file.lock, waiting, mode=0o644))
        wanted = [file for file in files if not file.place.exists()]  # somebody else may have been quicker
        if not wanted:
            return
        here = sum(_arrived(file) for file in wanted)
        total = sum(file.size for file in wanted)
        _check_room(wanted[0].place.parent, total - here)
        show = {"unit": "B", "unit_scale": True, "disable": None, "leave": False}
        fetching = stack.enter_context(step(FETCHING, total))
        bar = stack.enter_context(tqdm(total=total, initial=here, **show))
        fetching.advance(here)

        def advance(size: int) -> None:
            fetching.advance(size)
            bar.update(size)

        for file in wanted:
            _fetch(file, advance)


def _check_room(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OSError(
            errno.ENOSPC,
            f"it needs {needed / 1e9:.1f} GB of disk, and {folder} has {free / 1e9:.1f} GB left;"
            " `inferq models` tells what takes it, `inferq rm` removes it, HF_HOME puts the cache elsewhere",
        )


def _arrived(file: RemoteFile) -> int:
    """Bytes of it that are here."""
    return min(file.part.stat().st_size, file.size) if file.part.exists() else 0


def _fetch(file: RemoteFile, advance: Callable[[int], object]) -> None:
    disturbance = Disturbance(log, file.name)
    for reading in range(1, _READINGS + 1):
        if _arrived(file):
            log.info("%s goes on at byte %d of %d", file.name, _arrived(file), file.size)
        _complete(file, advance, disturbance)
        fault = _find_fault(file)
        if not fault:
            settle(file.part, file.place)
            return
        advance(-_arrived(file))
        file.part.unlink()
        log.warning("%s %s%s", file.name, fault, "; it is fetched again" if reading < _READINGS else "")
    raise OSError(errno.EIO, f"{file.name} {fault}; the server, or a proxy on the way, spoils it")


def _find_fault(file: RemoteFile) -> str:
    if (size := file.part.stat().st_size) != file.size:
        return f"has {size} bytes, not the {file.size} that its server tells of"
    if _SHA256.fullmatch(file.etag) and (digest := checksums.digest(file.part)) != file.etag:
        return f"has the sha256 {digest}, not {file.etag} as its server tells"
    return ""


def _complete(file: RemoteFile, advance: Callable[[int], object], disturbance: Disturbance) -> None:
    """Ask for what is missing until it is there, or there is no more; again where the connection breaks."""
    failures = 0
    while (before := _arrived(file)) < file.size or not file.part.exists():
        try:
            _read(file, before, advance)
        except (httpx2.TransportError, httpx2.StreamError, HfHubHTTPError) as exc:
            if isinstance(exc, HfHubHTTPError) and not exc.response.is_server_error:
                if before and exc.response.status_code == httpx2.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                raise
            trouble: Exception = exc
        else:
            trouble = httpx2.ReadError("the connection ended before its end")
        if (now := _arrived(file)) >= file.size:
            return
        failures = 0 if now > before else failures + 1
        if failures >= _TRIES:
            raise trouble
        disturbance.fail(f"broke off at byte {now} of {file.size}, and goes on there: {trouble}")
        time.sleep(_PAUSE * 2 ** max(0, failures - 1))


def _read(file: RemoteFile, start: int, advance: Callable[[int], object]) -> None:
    """Write what the server sends from byte `start` on behind what is here."""
    headers = build_hf_headers(library_name="inferq") | {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": f'"{file.etag}"'}
    with get_session().stream("GET", file.url, headers=headers, timeout=_SILENCE, follow_redirects=True) as response:
        hf_raise_for_status(response)
        fd = os.open(file.part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with os.fdopen(fd, "wb") as part:
            if start and response.status_code == httpx2.codes.PARTIAL_CONTENT:
                told = response.headers.get("Content-Range", "")
                if not told.startswith(f"bytes {start}-"):
                    raise httpx2.ReadError(f"asked for byte {start} on, it sends {told!r}")
            elif start:  # it does not do parts, or has another file by now
                advance(-start)
                start = 0
            part.truncate(start)
            part.seek(start)
            for piece in response.iter_raw():
                room = file.size + 1 - part.tell()  # one more tells that it is too long
                part.write(piece[:room])
                advance(len(piece[:room]))
                if len(piece) >= room:
                    return
