"""Whether the grammars of a task can be kept, before it is queued: they are tried in a child process."""

from __future__ import annotations

import hashlib
import json
import select
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from threading import BoundedSemaphore

from msgspec.json import encode
from msgspec.structs import replace

from gateway.grammar_host import Verdict
from shared.errors import GatewayBusy, InvalidRequest
from shared.grammars import lark
from shared.protocol import FineChat, Grammar, Task, Tool, text_task

MOST_KNOWN = 1_000
"""Grammars that a process remembers, with what is wrong with them: the latest ones."""
LONGEST_WAIT = 30.0
"""Seconds that a trial may take on a machine that is busy otherwise."""

_AWAY = "Grammars cannot be looked at now. Please try again."


def check(task: Task, owner: str) -> None:
    """Raises InvalidRequest, naming the parameter, where a grammar of a task cannot be kept; GatewayBusy."""
    _grammars().check(task, owner)


class Grammars:
    """Tries grammars, one at a time; of one owner only one waits for it, so that a flood keeps nobody else waiting."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._one = BoundedSemaphore()
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    def check(self, task: Task, owner: str) -> None:
        """See there."""
        asked = text_task(task)
        if asked and (grammar := asked.sampling.grammar):
            _refuse(grammar.param, "", self._verdict(grammar, owner))
        tools = asked.tools if isinstance(asked, FineChat) else ()
        parts = [(tool, found) for tool in tools if (found := _grammar_of(tool))]
        for tool, found in parts:
            verdict = self._verdict(found, owner)
            if verdict.costly or tool.strict or tool.grammar:  # of others, what cannot be kept is passed over
                _refuse("tools", f"{tool.name!r}: ", verdict)
        if len(parts) > 1 and (verdict := self._verdict(_join(found for _, found in parts), owner)).costly:
            _refuse("tools", "together: ", verdict)

    def _verdict(self, grammar: Grammar, owner: str) -> Verdict:
        line = encode(replace(grammar, param=""))
        mark = hashlib.sha256(line).digest()
        if mark not in self._known:
            with _turn(owner), self._one:
                if mark not in self._known:  # those who waited together may have waited for the same
                    self._known[mark] = self._try(line)
        found = self._known[mark]
        self._known.move_to_end(mark)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return found

    def _try(self, line: bytes) -> Verdict:
        try:
            child = self._child
            if child is None or child.poll() is not None:
                child = self._child = _start()
                _read(child)
            assert child.stdin is not None
            child.stdin.write(line + b"\n")
            child.stdin.flush()
            return _read(child)
        except BaseException as exc:
            self._end()
            if isinstance(exc, BrokenPipeError):
                raise GatewayBusy(_AWAY) from exc
            raise

    def _end(self) -> None:
        if child := self._child:
            self._child = None
            child.kill()
            child.communicate()


def _grammar_of(tool: Tool) -> Grammar | None:
    return tool.grammar or (Grammar("json", tool.parameters, tool.strict) if tool.parameters else None)


def _join(grammars: Iterable[Grammar]) -> Grammar:
    """One for which a text may be of any of them: what they take together."""
    rules = [f"g{number}: %lark {{\n{lark(grammar)}\n}}" for number, grammar in enumerate(grammars)]
    return Grammar("lark", "\n".join([f"start: {' | '.join(f'g{number}' for number in range(len(rules)))}", *rules]))


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "gateway.grammar_host"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _read(child: subprocess.Popen[bytes]) -> Verdict:
    """What it says next. Raises GatewayBusy."""
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], LONGEST_WAIT)[0]:
        raise GatewayBusy("The grammar could not be looked at in time. Please try again.")
    if said := child.stdout.readline():
        return Verdict(*json.loads(said))
    raise GatewayBusy(_AWAY)


def _refuse(param: str, whose: str, verdict: Verdict) -> None:
    if verdict.reason:
        raise InvalidRequest(f"Invalid '{param}': {whose}{verdict.reason}.", param=param)


@cache
def _grammars() -> Grammars:
    return Grammars()


@cache
def _turn(owner: str) -> BoundedSemaphore:
    return BoundedSemaphore()
