"""What clients may be told instead of an answer: what they put up with, and what breaks the promise."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.judgement import Fate


class Failure(Exception):
    """The promise is broken, in this way."""

    fate = Fate.LOST


class Gap(Failure):
    """The text goes on otherwise than it was read before."""

    fate = Fate.GAP


class Ended(Failure):
    """The job has failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"it ended with {code}: {message}")
        self.code = code


class Refused(Exception):
    """Come again after `pause` seconds."""

    def __init__(self, status: int, code: str, pause: float) -> None:
        super().__init__(f"{status} {code}")
        self.pause = pause


class Forgotten(Exception):
    """Redis was put back to before the job was accepted, as by a machine's crash."""


class UnknownEvent(Exception):
    """The same happened to the event after which its client wanted to read on."""


def refusal(status: int, headers: Mapping[str, str], code: str, message: str) -> Failure | Refused:
    """What a client makes of an answer that refuses it: Refused where clients repeat the request."""
    again = status in (408, 409, 429) or status >= 500
    if not again or headers.get("x-should-retry") == "false" or code == "worker_lost":
        return Failure(f"{status} {code}: {message}")
    return Refused(status, code, float(headers.get("retry-after", 0.5)))
