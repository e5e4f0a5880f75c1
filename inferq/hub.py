"""Files of the Hugging Face hub, through huggingface_hub and its cache: the seam where its errors become ours.

HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy's variables are its own, and mean what they mean there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name

from inferq.download import RemoteFile, fetch_all
from inferq.errors import PullError
from inferq.hub_refusals import tell_refusal
from shared import memory
from shared.catalogue import HubFile
from shared.catalogue.choice import choose
from shared.catalogue.parts import names_of
from shared.errors import ModelFileError

log = logging.getLogger("inferq.pull")
logging.getLogger("huggingface_hub").handlers.clear()  # it has one of its own, and would say everything twice
logging.getLogger("httpx2").setLevel(logging.WARNING)  # else each request is a line

_PATIENCE = 10.0
"""Seconds that the hub may take to answer what is there."""
MOST_LISTED = 20_000
"""Files of a repository that are looked at."""
_ERRORS = (OSError, ValueError, httpx2.HTTPError, HFValidationError)
_CHECKPOINT = ("config.json", "tokenizer", "special_tokens", "vocab", "merges.txt", "modules.json", "1_Pooling/")
"""How the names of files begin that make a checkpoint, beside its weights."""


def download(model_id: str, wanted: HubFile) -> Path:
    """Fetch a model's file, or all of its files, into the hub's cache, unless their newest version is there, and tell
    where the first one lies. Where `wanted` names no file, one is chosen, and the log says which, and why.

    What has arrived stays when a connection breaks, or this process dies. Without the hub, the cache will do.

    Raises PullError, and ModelFileError where there is nothing to choose.
    """
    with _translated(model_id, wanted):
        try:
            chosen = wanted if wanted.file else _choose(wanted)
            return _fetch(model_id, chosen, names_of(chosen.file))[0]
        except _ERRORS as exc:
            if (here := wanted.locate()) is None or not _is_away(exc):
                raise
            log.warning("%s is taken from the cache: %s", model_id, tell_refusal(exc, wanted))
            return here


def download_checkpoint(wanted: HubFile) -> Path:
    """The folder of a checkpoint whose files are fetched as those of `download`: its weights, tokenizer and settings.

    Raises PullError, and ModelFileError where there is none.
    """
    with _translated(wanted.repository, wanted):
        sizes = _list(wanted)
        weights = [name for name in sizes if name.endswith((".safetensors", ".safetensors.index.json"))]
        weights = [name for name in weights if "/" not in name]
        if "config.json" not in sizes or not weights:
            raise ModelFileError(f"{wanted.source}: there is no checkpoint: no config.json, or no safetensors")
        names = [*weights, *(name for name in sizes if name.startswith(_CHECKPOINT))]
        return _fetch(wanted.repository, wanted, ["config.json", *(n for n in names if n != "config.json")])[0].parent


@contextmanager
def _translated(title: str, wanted: HubFile) -> Iterator[None]:
    try:
        yield
    except _ERRORS as exc:
        permanent = not _is_away(exc)
        raise PullError(
            f"cannot fetch {title} from {wanted.source}: {tell_refusal(exc, wanted)}", permanent=permanent
        ) from exc


def _is_away(error: Exception) -> bool:
    """Whether it may be another time, or with the cache alone."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == httpx2.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return not isinstance(error, HFValidationError)


def _list(wanted: HubFile) -> dict[str, int]:
    """The bytes of the files of a repository by their paths. Raises what the hub's client does."""
    if constants.is_offline_mode():
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE")
    told = HfApi(library_name="inferq").model_info(
        wanted.repository, revision=wanted.revision, files_metadata=True, timeout=_PATIENCE
    )
    files = {entry.rfilename: entry.size or 0 for entry in (told.siblings or ())[:MOST_LISTED]}
    return {name: size for name, size in files.items() if not {"", ".", ".."} & set(name.split("/"))}


def _choose(wanted: HubFile) -> HubFile:
    sizes = _list(wanted)
    try:
        choice = choose(sizes, wanted.quantisation, memory.available(), wanted.source)
    except ModelFileError as exc:
        if not any(name.endswith(".gguf") for name in sizes) and "config.json" in sizes:
            raise ModelFileError(
                f"{wanted.source}: there is no GGUF file, but a checkpoint:"
                f" `inferq convert {wanted.source} NAME.gguf` makes a GGUF file of it, where it knows the architecture"
            ) from exc
        raise
    kind = f"{choice.quantisation}, " if choice.quantisation else ""
    many = f" and {len(choice.files) - 1} more files" if choice.files[1:] else ""
    log.info(
        "%s: %s%s%s of %.2f GB is taken: %s",
        *(wanted.source, kind, choice.files[0], many, choice.size / 1e9, choice.why),
    )
    wanted.remember(choice.files[0])
    return replace(wanted, file=choice.files[0])


def _fetch(title: str, wanted: HubFile, names: Sequence[str]) -> list[Path]:
    """The files of these names in the cache."""
    files = [_look(wanted, name) for name in names]
    missing = [file for file in files if not file.place.exists()]
    if missing:
        total = sum(file.size for file in missing)
        many = f"{len(missing)} files, " if len(missing) > 1 else ""
        log.info("fetching %s from %s (%s%.0f MB)", title, wanted.source, many, total / 1e6)
        fetch_all(missing)
    # It gives what lies in the cache its name there, as all who use this cache expect it.
    found = [
        hf_hub_download(wanted.repository, name, revision=wanted.revision, library_name="inferq") for name in names
    ]
    log.info("%s is in %s", title, found[0])
    return [Path(path) for path in found]


def _look(wanted: HubFile, name: str) -> RemoteFile:
    """What the hub says of a file."""
    if constants.is_offline_mode():
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE")
    url = hf_hub_url(wanted.repository, name, revision=wanted.revision)
    told = get_hf_file_metadata(url, timeout=_PATIENCE, library_name="inferq")
    if not told.etag or told.size is None or not told.commit_hash:
        raise ValueError(f"{constants.ENDPOINT} does not answer as the hub does")
    folder = repo_folder_name(repo_id=wanted.repository, repo_type="model")
    cache = Path(constants.HF_HUB_CACHE)
    return RemoteFile(
        name,
        hf_hub_url(wanted.repository, name, revision=told.commit_hash),
        place=cache / folder / "blobs" / told.etag,
        lock=cache / ".locks" / folder / f"{told.etag}.lock",
        size=told.size,
        etag=told.etag,
    )
