"""An errand: one batch as the command line follows it, begun once, waited for, its results fetched.

Which batch it is stands in a folder beside the results, so that whoever runs the same again goes on with it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from inferq.batches.client import BatchClient
from inferq.batches.requests import RequestFile
from inferq.errors import GatewayAway
from inferq.terminal import echo
from shared.errors import InvalidRequest
from shared.file_lock import FileLock
from shared.whole_file import write_whole

_PERIOD = 0.5
"""Seconds between two looks."""
_PACE = 20
"""Looks over which tokens a second are told."""
FINAL = ("completed", "failed", "expired", "cancelled")


class Errand:
    """That of a file's batch, in its folder."""

    def __init__(self, folder: Path, requests: RequestFile, url: str) -> None:
        """`url` is the gateway's; empty for one that lives in the folder, too. Raises InvalidRequest."""
        self.folder = folder
        self._requests = requests
        self._url = url
        self._state_file = folder / "batch.json"
        self._file_id, self.batch_id = self._known()

    def begin(self, client: BatchClient, window: str) -> None:
        """Begin the batch, unless it was before."""
        if not self._file_id:
            self._file_id = client.store(self._requests.path)
            self._note()  # whoever goes on from here asks for the one batch of this file
        if not self.batch_id:
            begun = self._patiently(lambda: client.create(self._file_id, self._requests.endpoint, window))
            self.batch_id = begun["id"]
            self._note()

    def follow(self, client: BatchClient) -> dict[str, Any]:
        """Wait for its end, with a progress bar on stderr if that is a terminal. The batch as it is then.

        A gateway that is away is waited for.
        """
        from tqdm import tqdm

        pace = deque[tuple[float, int]](maxlen=_PACE)
        with tqdm(total=self._requests.total, unit=" requests", disable=None, leave=False, smoothing=0.1) as shown:
            while True:
                batch = self._patiently(lambda: client.get(self.batch_id))
                counts, used = batch["request_counts"], batch["usage"]
                pace.append((time.monotonic(), used["output_tokens"] or used["input_tokens"]))
                if not shown.n and len(pace) == 1:
                    shown.initial = shown.n = counts["completed"] + counts["failed"]  # done before we looked
                shown.update(counts["completed"] + counts["failed"] - shown.n)
                shown.set_postfix_str(f"{counts['failed']} failed, {_per_second(pace):.0f} tokens/s", refresh=False)
                shown.set_description_str(batch["status"].replace("_", " "))
                if batch["status"] in FINAL:
                    return batch
                time.sleep(_PERIOD)

    def download(self, client: BatchClient, batch: dict[str, Any]) -> list[Path]:
        """Its files of results, those that there are."""
        found = []
        for name in ("output_file_id", "error_file_id"):
            if batch[name]:
                client.download(batch[name], target := self.folder / name)
                found.append(target)
        return found

    def forget(self) -> None:
        """It is over, and what it has brought is elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _patiently(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What the gateway says, once it does."""
        away = ""
        while True:
            try:
                return ask()
            except GatewayAway as exc:
                if str(exc) != away:
                    echo(f"inferq: {exc}; it is asked again", err=True)
                away = str(exc)
                time.sleep(_PERIOD)

    def _note(self) -> None:
        """Write down how far it has begun."""
        state = {"file": self._file_id, "batch": self.batch_id, "digest": self._requests.digest, "url": self._url}
        with write_whole(self._state_file) as part:
            part.write_text(json.dumps(state))

    def _known(self) -> tuple[str, str]:
        """The ids of its file and of its batch; empty where they are not there yet."""
        try:
            state = json.loads(self._state_file.read_text())
        except FileNotFoundError:
            return "", ""
        except ValueError as exc:
            raise self._foreign("cannot be understood") from exc
        if state["digest"] != self._requests.digest:
            raise self._foreign(f"is of another {self._requests.path.name}: what it was has changed")
        if state["url"] != self._url:
            raise self._foreign(f"runs at {state['url']}" if state["url"] else "runs without a gateway")
        return str(state["file"]), str(state["batch"])

    def _foreign(self, why: str) -> InvalidRequest:
        message = f"the batch in {self.folder} {why}; go on with that, or remove the folder to begin anew"
        return InvalidRequest(message, param="-o")


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """The folder of a errand, for one process at a time. Raises InvalidRequest."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(folder / "run.lock")
    except OSError as exc:
        raise InvalidRequest(f"{folder}: cannot be written: {exc.strerror}", param="-o") from exc
    with closing(lock):
        if not lock.take():
            raise InvalidRequest(f"another process works in {folder}", param="-o")
        try:
            yield
        finally:
            if not (folder / "batch.json").exists():  # nothing to go on with
                with suppress(OSError):
                    shutil.rmtree(folder)


def _per_second(pace: deque[tuple[float, int]]) -> float:
    (begun, before), (now, tokens) = pace[0], pace[-1]
    return (tokens - before) / (now - begun) if now > begun else 0.0
