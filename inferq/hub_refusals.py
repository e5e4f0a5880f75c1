"""What the hub refuses, or why it does not answer, in words that say what to do."""

from __future__ import annotations

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from shared.catalogue import HubFile

_DENIED = (401, 403)
_ELSEWHERE = "check the network and the proxy, or name a mirror in HF_ENDPOINT, or give the path of a file that is here"


def tell_refusal(error: Exception, wanted: HubFile) -> str:
    """One line."""
    repository, token = wanted.repository, "set HF_TOKEN to a token that may read it"
    match error:
        case GatedRepoError():
            page = f"{constants.ENDPOINT}/{repository}"
            return f"{repository} is gated; accept its terms at {page} and {token}"
        case RepositoryNotFoundError():
            return f"the hub has no {repository}, or it is private; then {token}"
        case RevisionNotFoundError():
            return f"{repository} has no revision {wanted.revision!r}"
        case RemoteEntryNotFoundError():
            name = str(error.response.url).partition(f"/resolve/{wanted.revision}/")[2]
            return f"{repository} has no file {name or wanted.file!r} in revision {wanted.revision!r}"
        case HfHubHTTPError() if error.response.status_code in _DENIED:
            return f"the hub does not let us in ({error.response.status_code}); {token}"
        case HfHubHTTPError() if error.response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            after = error.response.headers.get("Retry-After", "")
            when = f"in {after} s" if after.isdigit() else "later"
            return f"the hub has had too many requests from here (429): try again {when}, or set HF_TOKEN"
        case HfHubHTTPError():
            return f"the hub answered {error.response.status_code}"
        case LocalEntryNotFoundError() if error.__cause__ is not None and isinstance(error.__cause__, Exception):
            return tell_refusal(error.__cause__, wanted)
        case OfflineModeIsEnabled():
            return "it is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"
        case httpx2.TimeoutException():
            return f"{constants.ENDPOINT} does not answer in time; {_ELSEWHERE}"
        case httpx2.TransportError():
            return f"{constants.ENDPOINT} cannot be reached ({error}); {_ELSEWHERE}"
        case HFValidationError():
            return f"{repository} is no name of a repository"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return str(error) or type(error).__name__
