"""The child that asks llama.cpp what memory it would take for a model, in contexts of several sizes.

It ends when it has said that, in the file SURVEYED of its directory: the `window` of the model, and of each context
what `find_plan` tells.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from worker.engines.child import HostEnd

SURVEYED = "surveyed.json"


def main() -> None:
    child = HostEnd()
    parameters = child.parameters
    print(f"surveying {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    import xllamacpp.xllamacpp  # after `HostEnd`, which ties this process to the worker

    from worker.engines.libllama import (
        ATTENTION_AUTO,
        ATTENTION_FLASH,
        ATTENTION_PLAIN,
        F16,
        F32,
        Q8_0,
        Library,
        UnknownLibrary,
    )

    child.confine()
    kind = F32 if parameters["exact"] else Q8_0 if parameters.get("kv_cache") else F16
    attention = {"plain": ATTENTION_PLAIN, "flash": ATTENTION_FLASH}.get(parameters["attention"], ATTENTION_AUTO)
    try:
        model = Library(xllamacpp.xllamacpp.__file__).plan(parameters["path"])
        found = {
            context: model.find_plan(
                n_ctx=context,
                n_batch=min(parameters["batch"], context),  # llama.cpp's own bound, which `plan` else finds strange
                n_ubatch=min(parameters["step"], context),
                n_outputs_max=min(parameters.get("outputs", 0), context),  # 0: of all tokens
                n_outputs_max_per_seq=min(parameters.get("outputs", 0), context),
                n_seq_max=parameters["slots"],
                n_threads=1,
                n_threads_batch=1,
                type_k=kind,
                type_v=kind,
                flash_attn_type=ATTENTION_PLAIN if parameters["exact"] else attention,
                pooling_type=parameters["pooling"],
                embeddings=parameters["pooling"] >= 0,
                kv_unified=True,
                swa_full=False,
            )
            for context in parameters["contexts"]
        }
    except (UnknownLibrary, RuntimeError) as exc:
        sys.exit(f"llama.cpp does not tell what it would take: {exc}")
    (Path(parameters["directory"]) / SURVEYED).write_text(json.dumps({"window": model.window, **found}))
    child.ready(0.0)


if __name__ == "__main__":
    main()
