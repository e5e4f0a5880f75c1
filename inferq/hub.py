"""Files of the Hugging Face hub, through huggingface_hub and its cache: the seam where its errors become ours.

HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy's variables are its own, and mean what they mean there.
"""

from __future__ import annotations

import logging
from pathlib import Path

import httpx2
from huggingface_hub import constants, hf_hub_download
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

from inferq.errors import PullError
from shared.catalogue import HubFile
from shared.progress import step

log = logging.getLogger("inferq.pull")
logging.getLogger("huggingface_hub").handlers.clear()  # it has one of its own, and would say everything twice

_DENIED = (401, 403)


def download(model_id: str, wanted: HubFile) -> Path:
    """Fetch a file into the hub's cache, unless its newest version is there, and tell where it lies.

    A connection that breaks is taken up again where it broke. Without the hub, the version in the cache will do.

    Raises PullError.
    """
    log.info("fetching %s from %s", model_id, wanted.source)
    try:
        with step("it is being fetched"):
            path = hf_hub_download(wanted.repository, wanted.file, revision=wanted.revision, library_name="inferq")
    except (OSError, httpx2.HTTPError, HFValidationError) as exc:
        raise PullError(f"cannot fetch {model_id} from {wanted.source}: {_reason(exc, wanted)}") from exc
    log.info("%s is in %s", model_id, path)
    return Path(path)


def _reason(error: Exception, wanted: HubFile) -> str:
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
            return f"{repository} has no file {wanted.file!r} in revision {wanted.revision!r}"
        case HfHubHTTPError() if error.response.status_code in _DENIED:
            return f"the hub does not let us in; {token}"
        case HfHubHTTPError():
            return f"the hub answered {error.response.status_code}"
        case LocalEntryNotFoundError() if isinstance(error.__cause__, OfflineModeIsEnabled):
            return "it is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"
        case LocalEntryNotFoundError() if isinstance(error.__cause__, HfHubHTTPError):
            return _reason(error.__cause__, wanted)
        case LocalEntryNotFoundError():
            return f"it is not in the cache, and {constants.ENDPOINT} does not answer as the hub does"
        case _:
            return str(error) or type(error).__name__
