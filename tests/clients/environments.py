"""An environment for each client: a venv or an npm prefix, kept beneath the user's cache until its pins change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from shared import folders
from shared.file_lock import FileLock
from tests.clients.table import Client

LONGEST_INSTALL = 3600
"""Seconds; the largest fetches a gigabyte, and one is compiled: a quarter of an hour on two cores."""


class NotInstalled(Exception):
    """There is no network, no Node.js, or no build of the client for this Python; says which."""


def prepare(client: Client) -> Path:
    """The folder with the client, installed before or now."""
    cache = folders.cache() / "clients"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / client.name
    key = _key(client)
    with FileLock(cache / f"{client.name}.lock"):
        mark = folder / "installed"
        if not mark.exists() or mark.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                (_install_npm if client.in_node else _install_python)(client, folder)
            except NotInstalled:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            mark.write_text(key)
    return folder


def command(client: Client, folder: Path, script: Path) -> list[str]:
    """What runs a script in the client's environment."""
    return ["node", str(script)] if client.in_node else [str(folder / "bin/python"), str(script)]


def _key(client: Client) -> str:
    """What an environment is made of; another key makes it anew."""
    parts = (client.packages, client.overrides, client.before, sys.version if not client.in_node else "")
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _install_python(client: Client, folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    overrides = folder / "overrides.txt"
    overrides.write_text("".join(line + "\n" for line in client.overrides))
    install = [uv, "pip", "install", "--quiet", "--python", str(folder), "--exclude-newer", client.before]
    install += ["--overrides", str(overrides), *client.packages]
    for place in os.environ.get("PIP_FIND_LINKS", "").split():  # uv does not know where pip looks as well
        install += ["--find-links", place]
    _run(install)


def _install_npm(client: Client, folder: Path) -> None:
    if not shutil.which("npm"):
        raise NotInstalled("no npm on this machine")
    folder.mkdir()
    install = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", "--ignore-scripts"]
    _run([*install, f"--before={client.before}", *client.packages])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_INSTALL, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"not installed within {LONGEST_INSTALL} s") from None
    if done.returncode:
        why = " ".join((done.stderr or done.stdout).split())
        raise NotInstalled(f"cannot be installed: {why[:300]}")
