"""What a table of models.toml may say, and what its values have to be."""

from __future__ import annotations

import dataclasses

from shared.catalogue.model import SETTINGS
from shared.config import Config

OPTIONS = {option.name: option for option in dataclasses.fields(Config) if option.name in SETTINGS}
KEYS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "aliases": (list,),
    "source": (str,),
    "member": (str,),
    "wheel_sha256": (str,),
    "sha256": (str,),
    "engine": (str,),
    "architecture": (str,),
    "chat_format": (str,),
    "parse_special": (bool,),
    "spm_infill": (bool,),
    "as_is": (bool,),
    "context": (int,),
    "slots": (int,),
    "threads": (int,),
    **{name: (type(option.default),) for name, option in OPTIONS.items()},
    "dimensions": (list,),
    "lora": (list,),
    "base": (str,),
    "adapter": (str,),
    "scale": (int, float),
    "draft": (str,),
    "rope_freq_base": (int, float),
    "rope_freq_scale": (int, float),
    "sampling": (dict,),
    "keep": (str,),
    "workers": (int, str),
}
KINDS = {str: "a string", bool: "a boolean", list: "an array"}
KINDS |= {int: "a whole number", float: "a number", dict: "a table"}
BOUNDS = {"context": (1, 2**31 - 1), "slots": (1, 256), "threads": (1, 1024)}
