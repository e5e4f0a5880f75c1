"""Which threads, and how long a step of a prompt, fit a model on this machine: measured once, and kept.

What decides is told in docs/engines.md. Measuring is done by a child, `llama_cpp_calibration_host.py`, confined as
every engine host, which has so many seconds and no more: whatever becomes of it, the model is served.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared import folders
from shared.catalogue import Model
from shared.config import Config, ConfigError
from shared.cores import processor, share
from shared.file_lock import FileLock
from shared.progress import step
from shared.regular_file import read_bytes
from shared.whole_file import write_whole
from worker.engines.host_process import HostProcess
from worker.engines.llama_cpp_calibration_host import MEASURED
from worker.engines.llama_cpp_files import Files, check_files, context_of, host_parameters
from worker.engines.llama_cpp_fitting import LIMIT, Calibration, choose, describe

log = logging.getLogger(__name__)

PATIENCE, BYTES_A_SECOND = 60.0, 50_000_000
"""Seconds that measuring may take, and one more for each so many bytes of the model's files."""
MOST_KEPT = 256
"""Files of what was measured, of which the latest stay."""
LONGEST = 16_384
"""Bytes of what a child says."""
_AGAIN = 86_400.0
"""Seconds after which it is tried again where it could not be measured."""
_BUSY = 600.0
"""Seconds for which that holds where the machine was busy: somebody may wait for each start, as on demand."""
_FORM = 1
"""Of what is kept; another one is measured anew."""
QUIET = 0.8
"""What a child has to have had of the cores, or the machine was busy with something else."""


class Unmeasured:
    """It could not be measured, not long ago."""


def fit_machine(model: Model, config: Config) -> Config:
    """With the numbers that fit, where the configuration names none. Raises what `check_files` does."""
    if config.threads and config.batch_size:
        return config  # the kind of attention is tried beside the others, not for itself
    files = check_files(model)
    if files.pooling:
        return config
    tried, batch_tried = _candidates(config)
    measuring = {
        **host_parameters(model, files, config, config.step, ""),
        "title": f"{model.id} calibration",
        "tried": tried,
        "batch_tried": batch_tried,
        "context": context_of(files, config) or files.header.context_length or 4096,
        "heads": files.header.heads,
        "alone": config.slots == 1
        and not config.kv_cache,  # plain attention computes all cells, also those of other slots
        "limit": LIMIT,
    }
    found = _provide(model.id, files, measuring, _digest(model, files, measuring))
    if found is None:
        return config
    named = config.threads or config.batch_threads
    log.info("%s", describe(found))
    return replace(
        config,
        threads=config.threads or found.threads,
        batch_threads=config.batch_threads or (named or found.batch_threads),
        batch_size=config.batch_size or found.step,
        attention=config.attention or found.attention,
    )


def _candidates(config: Config) -> tuple[list[int], list[int]]:
    """Threads that are tried, for one answer and for more, the fewest first."""
    cores, threads = share(config.cores)
    if config.threads:
        return [config.threads], [config.batch_threads or config.threads]
    single = sorted({1, max(1, cores // 2), max(1, cores - 1), cores})
    return single, [config.batch_threads] if config.batch_threads else sorted({cores, threads})


def _digest(model: Model, files: Files, measuring: Mapping[str, Any]) -> str:
    """Of all that what is measured depends on: the machine, the files, the engine, and how it is asked."""
    names = ("tried", "batch_tried", "context", "exact", "attention", "kv_cache", "alone", "limit")
    asked = {name: measuring[name] for name in names}
    place = [processor(), *share(0)]
    told = json.dumps([_FORM, place, files.identify(model), version("xllamacpp"), asked], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _provide(name: str, files: Files, measuring: Mapping[str, Any], digest: str) -> Calibration | None:
    """What is kept, or else is measured now: by one process of this machine at a time, since two would measure each
    other."""
    patience = PATIENCE + sum(part.stat().st_size for part in files.parts) / BYTES_A_SECOND
    with _kept_at(digest, patience) as record:
        if record and (kept := _recall(record)):
            return kept if isinstance(kept, Calibration) else None
        log.info("%s: threads and steps are being tried, once on this machine, which takes some seconds", name)
        try:
            with step("threads and steps are being tried, once on this machine"):
                measured = _measure(measuring, patience)
            found = choose(measured, measuring["context"], measuring["heads"])
        except Exception as exc:  # noqa: BLE001 - a file that has taken over the child says anything
            log.warning("%s: what fits this machine could not be measured; the usual numbers are taken: %s", name, exc)
            _remember(record, {"failed": time.time()})
            return None
        if measured["share"] < QUIET:
            log.warning("%s: this machine is busy: what fits it is measured at a start in ten minutes", name)
            _remember(record, {"failed": time.time() - _AGAIN + _BUSY})
            return None
        _remember(record, asdict(found))
        return found


def _measure(measuring: Mapping[str, Any], patience: float) -> dict[str, Any]:
    """Raises ModelLoadError, and what reading another one's words may raise."""
    process = HostProcess("worker.engines.llama_cpp_calibration_host")
    process.greet(measuring, patience)
    try:
        told: dict[str, Any] = json.loads(read_bytes(process.directory / MEASURED, LONGEST))
    finally:
        process.kill()
        process.bury()
    return told


@contextmanager
def _kept_at(digest: str, patience: float) -> Iterator[Path | None]:
    """The file for what was measured, and nobody else measures meanwhile; None where there is no place for one."""
    lock: _FolderLock | None = None
    record: Path | None = None
    with suppress(OSError, ConfigError):
        folders.make_private(folder := folders.cache() / "calibrations")
        lock = _FolderLock(folder)
    if lock is None:
        with suppress(OSError):
            lock = _FolderLock(_make_own(Path(tempfile.gettempdir()) / f"inferq-{os.geteuid()}"))
        where = f"in {lock.folder}, till that is emptied" if lock else "nowhere: each start measures anew"
        log.warning("the cache cannot be written to; what fits this machine is kept %s", where)
    if lock:
        lock.wait(patience)
        record = lock.folder / f"{digest}.json"
    try:
        yield record
    finally:
        if lock:
            lock.close()


class _FolderLock(FileLock):
    """On a folder of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(folder / "lock")


def _make_own(folder: Path) -> Path:
    """Where everybody may make one. Raises OSError for one that is not ours alone."""
    folders.make_private(folder)
    if (told := folder.lstat()).st_uid != os.geteuid() or not stat.S_ISDIR(told.st_mode):
        raise PermissionError(errno.EACCES, "it is another user's", str(folder))
    return folder


def _recall(record: Path) -> Calibration | Unmeasured | None:
    with suppress(OSError, ValueError, RecursionError, TypeError, LookupError, ArithmeticError):
        kept = json.loads(read_bytes(record, LONGEST))
        if "failed" in kept:  # a clock that was wrong has put it off for no longer than any other
            return Unmeasured() if 0 <= time.time() - kept["failed"] < _AGAIN else None
        return Calibration(**{field.name: kept[field.name] for field in fields(Calibration)})
    return None


def _remember(record: Path | None, told: Mapping[str, Any]) -> None:
    if record is None:
        return
    with suppress(OSError):
        with write_whole(record, mode=0o600) as part:
            part.write_text(json.dumps(told))
        kept = sorted(record.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for each in kept[:-MOST_KEPT]:
            each.unlink()
