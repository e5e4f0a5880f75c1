"""moto's server of S3 and the package that speaks to it, each installed once beneath the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import folders
from shared.file_lock import FileLock
from tests.stack import free_port, stop, wait_for

MOTO = "moto[server]==5.2.5"
S3FS = "s3fs==2026.9.0"
BUCKET = "inferq"


@contextmanager
def serving() -> Iterator[subprocess.Popen[bytes]]:
    """A server with an empty bucket, to which the environment of this process and its children leads."""
    moto, s3fs = _installed(MOTO), _installed(S3FS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    before = dict(os.environ)
    # In a process with none of our packages: it brings a Flask of its own.
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", program], env={**before, "PYTHONPATH": str(moto)}, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _asked("GET", url), "the server's answer", 60)
        assert _asked("PUT", f"{url}/{BUCKET}")
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "PYTHONPATH": str(s3fs),
        }
        yield child
    finally:
        os.environ.clear()
        os.environ.update(before)
        stop(child)


def _installed(package: str) -> Path:
    """The folder in which it lies with all that it needs."""
    folder = folders.cache() / "tests" / package
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{package}.lock")):
        if not (folder / "installed").exists():
            uv = str(Path(sys.executable).with_name("uv"))
            subprocess.run([uv, "pip", "install", "--quiet", "--target", str(folder), package], check=True)
            (folder / "installed").touch()
    return folder


def _asked(method: str, url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
