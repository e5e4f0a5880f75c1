"""What can go wrong around the gateway and the workers; continues the tree in `shared/errors.py`.

InferqError
├── StartError    `inferq up` cannot start or cannot go on
├── NotRunning    there is nothing whose status could be told
├── GatewayError  a gateway that `inferq chat`, `repl` or `batch` asks cannot be reached, or refuses
│   └── GatewayAway  it cannot be reached, or answer, at the moment
└── PullError     a model cannot be fetched, or is not what it should be; a ModelLoadError, so that a worker tries again
"""

from __future__ import annotations

from shared.config import ConfigError
from shared.errors import InferqError, InvalidRequest, ModelFileError, ModelLoadError, ModelNotFound


class StartError(InferqError):
    code = "start_error"


class NotRunning(InferqError):
    code = "not_running"


class GatewayError(InferqError):
    code = "gateway_error"


class GatewayAway(GatewayError):
    """Has the code of its base: the user reads why."""


class PullError(ModelLoadError):
    code = "pull_error"


def exit_status(error: InferqError) -> int:
    """2 for what the user can see to be wrong before anything runs, 1 for what failed in running."""
    return 2 if isinstance(error, ConfigError | InvalidRequest | ModelFileError | ModelNotFound) else 1
