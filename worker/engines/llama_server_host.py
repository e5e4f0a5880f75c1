"""The child that has the user's own `llama-server` compute, in place of `llama_cpp_host.py`: on the same socket, with
the same parameters as flags, and confined as that is. It ends with that program, and that with it."""

from __future__ import annotations

import ctypes
import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.child_pipe import hear
from worker.engines.child import SOCKET, HostEnd
from worker.engines.llama_cpp_host import DRAFTED, GUESSED, REMEMBERED

_PDEATHSIG = 1
_HELPING, _HELP = 20, 1 << 20
"""Seconds in which it says how it is used, and bytes of that."""
_LOOKING = 10.0
"""Seconds for the answer whether it has loaded the model."""
_TAIL = 500
_ANSWERING = 300.0
"""Seconds for an answer: it reads one token."""
_HINTS = {
    errno.ENOEXEC: "; is it for another kind of processor?",
    errno.ENOENT: ", or what starts it: a loader of libraries, or what its first line names",
}
_PERIOD = 0.05
"""Seconds between two questions whether it has loaded the model."""


def main() -> None:
    child = HostEnd()
    parameters = child.parameters
    print(f"starting {parameters['program']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log
    given, libc = flags(parameters), ctypes.CDLL(None)

    def begin() -> None:
        libc.prctl(_PDEATHSIG, signal.SIGKILL)
        child.become()

    try:
        _check(parameters["program"], given, begin)
        server = subprocess.Popen(
            [parameters["program"], *given],
            stdin=subprocess.PIPE,
            stdout=2,
            env={"LLAMA_API_KEY": parameters["key"], "LC_ALL": "C.UTF-8"},  # as a flag everybody could read it
            preexec_fn=begin,  # our threads hold no locks
        )
    except (OSError, subprocess.SubprocessError) as exc:
        hint = _HINTS.get(exc.errno or 0, "") if isinstance(exc, OSError) else ""
        sys.exit(f"{parameters['program']} cannot be started: {exc}{hint}")
    socket_path = Path(parameters["directory"]) / SOCKET
    _wait(parameters, server, socket_path)
    begun = time.monotonic()
    asked = {"prompt": [0], "n_predict": 1, "cache_prompt": False}
    try:
        _ask(socket_path, "/completion", asked, parameters["key"], _ANSWERING)
    except (OSError, http.client.HTTPException) as exc:
        sys.exit(f"{parameters['program']} has loaded the model, but does not answer: {exc}")
    child.ready((time.monotonic() - begun) * parameters["batch"])
    sys.exit(f"{parameters['program']} ended with status {server.wait()}")


def _check(program: str, given: Sequence[str], begin: Callable[[], None]) -> None:
    """Ends this process with a word, unless the program is a llama-server that knows these flags."""
    with subprocess.Popen(
        [program, "--help"],
        stdin=subprocess.PIPE,  # for /dev/null cannot be opened to write
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"LC_ALL": "C.UTF-8"},
        preexec_fn=begin,
        start_new_session=True,
    ) as helping:
        assert helping.stdin is not None
        helping.stdin.close()
        said = b""
        try:
            said = hear(helping, _HELPING, _HELP)
            if not (late := len(said) == _HELP):
                helping.wait(_HELPING)
        except (TimeoutError, subprocess.TimeoutExpired):
            late = True
        finally:  # with what it has started, which has nothing more to say
            with suppress(ProcessLookupError):
                os.killpg(helping.pid, signal.SIGKILL)
        status = helping.wait()
    if late:
        sys.exit(f"{program} --help did not end within {_HELPING} s, or {_HELP} bytes: it is no llama-server")
    text = said.decode(errors="replace")
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    if status or "--model" not in known:
        how = f"ended with status {status}"
        sys.exit(f"{program} is no llama-server, or one that does not run here: its --help {how}\n{text[-_TAIL:]}")
    if missing := sorted({flag for flag in given if flag.startswith("--")} - known):
        sys.exit(f"{program} does not know {', '.join(missing)}: take a llama-server that is not as old, or as new")


def flags(parameters: dict[str, Any]) -> list[str]:
    directory, attention = parameters["directory"], parameters["attention"]
    given: dict[str, Any] = {
        "--model": parameters["path"],
        "--host": str(Path(directory) / SOCKET),
        "--ctx-size": parameters["context"],
        "--parallel": parameters["slots"],
        "--batch-size": parameters["batch"],
        "--ubatch-size": parameters["batch"],
        "--threads": parameters["threads"],
        "--threads-batch": parameters["batch_threads"],
        "--cache-ram": 0,
        "--slot-save-path": f"{directory}/",
        "--rope-freq-base": parameters["rope_freq_base"] or None,
        "--rope-freq-scale": parameters["rope_freq_scale"] or None,
        "--chat-template": parameters["chat_template"] or None,
        "--flash-attn": {"plain": "off", "flash": "on"}.get(attention, "auto"),
    }
    if parameters["kv_cache"]:
        given |= {"--cache-type-k": parameters["kv_cache"], "--cache-type-v": parameters["kv_cache"]}
    if parameters["exact"]:
        given |= {"--cache-type-k": "f32", "--cache-type-v": "f32", "--flash-attn": "off"}
    if parameters["draft"]:
        given |= {"--model-draft": parameters["draft"], "--spec-draft-n-max": DRAFTED, "--spec-type": "draft-simple"}
        given |= {"--threads-draft": parameters["threads"], "--threads-batch-draft": parameters["batch_threads"]}
    elif parameters["speculation"]:
        given |= {"--spec-type": "ngram-simple", "--spec-ngram-simple-size-n": REMEMBERED}
        given |= {"--spec-ngram-simple-size-m": GUESSED}
    switches = [
        "--kv-unified",
        "--no-cache-idle-slots",
        "--check-tensors",
        "--no-prefill-assistant",
        "--no-webui",
        "--jinja",
    ]
    switches.append("--slots" if parameters["draft"] else "--no-slots")
    adapters = [word for path, scale in parameters["lora"] for word in ("--lora-scaled", f"{path}:{scale}")]
    return (
        [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
        + switches
        + adapters
    )


def _wait(parameters: dict[str, Any], server: subprocess.Popen[bytes], path: Path) -> None:
    """Until it has loaded the model, during which it answers. Ends this process with a word where it does not."""
    program, patience, heard = parameters["program"], parameters["opening"], time.monotonic()
    while True:
        try:
            if _ask(path, "/health", None, "", _LOOKING) == http.client.OK:
                return
            heard = time.monotonic()
        except (OSError, http.client.HTTPException):
            pass  # it does not listen yet, or has ended
        if server.poll() is not None:
            sys.exit(f"{program} ended with status {server.returncode}")
        if time.monotonic() > heard + patience:
            sys.exit(f"{program} runs, but has not answered /health for {patience:.0f} s: it is no llama-server")
        time.sleep(_PERIOD)


def _ask(path: Path, question: str, body: object, key: str, within: float) -> int:
    """The status of the answer."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(within)
        connected.connect(str(path))
        connection = http.client.HTTPConnection("localhost")
        connection.sock = connected
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST" if body else "GET", question, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


if __name__ == "__main__":
    main()
