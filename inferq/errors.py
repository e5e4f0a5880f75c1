"""What can go wrong around the gateway and the workers; continues the tree in `shared/errors.py`.

InferqError
├── StartError    `inferq up` cannot start or cannot go on
├── NotRunning    there is nothing whose status could be told
├── GatewayError  a gateway that `inferq chat`, `repl` or `batch` asks cannot be reached, or refuses
│   └── GatewayAway  it cannot be reached, or answer, at the moment
└── PullError     a model cannot be fetched, or is not what it should be; a ModelLoadError, so that a worker tries again
"""

from __future__ import annotations

from shared.errors import InferqError, ModelFileError, ModelLoadError
from shared.passing import is_passing

REFUSED = 2
"""The exit status of a process that will never run as it was started: whoever looks after it need not try again."""


class StartError(InferqError):
    """It is `permanent` where what was to be started says so of itself."""

    code = "start_error"

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class NotRunning(InferqError):
    code = "not_running"


class GatewayError(InferqError):
    code = "gateway_error"


class GatewayAway(GatewayError):
    """Has the code of its base: the user reads why."""


class PullError(ModelLoadError):
    """It is `permanent` where who has the file refuses it."""

    code = "pull_error"
    words = "The model's file cannot be fetched."

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


def exit_status(error: InferqError) -> int:
    """REFUSED for what the user can see to be wrong before anything runs, 1 for what failed in running."""
    wrong = isinstance(error, ModelFileError) and not is_passing(error)
    return REFUSED if error.permanent or wrong else 1
