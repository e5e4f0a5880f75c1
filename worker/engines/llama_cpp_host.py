"""The child in which llama.cpp computes: xllamacpp's own HTTP server, on a unix socket in the private directory."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

from worker.engines.child import SOCKET, HostEnd

DRAFTED = 3
"""Tokens that a draft model guesses in one step."""
REMEMBERED, GUESSED = 4, 8
"""Tokens that have to have come before in a row, and how many that came after them are then guessed."""
CHECKPOINTS = 8
"""States of a slot that are kept to go back to, of models that cannot forget the latest tokens alone: those with a
sliding window and recurrent ones. Each takes memory; llama.cpp would keep 32."""
_ERRORS_ONLY = 1
_ALL_SAID = (1 << 12) - 1
"""Its mask of the sampling parameters that a user has set."""


def main() -> None:
    child = HostEnd()
    parameters = child.parameters
    print(f"loading {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    try:
        import xllamacpp  # after `HostEnd`, which ties this process to the worker: the import takes a while
    except ImportError as exc:
        brought = "; `apt-get install libgomp1` brings that" if "libgomp" in str(exc) else ""
        sys.exit(f"llama.cpp cannot be loaded on this machine: {exc}{brought}")

    child.confine()

    options = xllamacpp.CommonParams()
    options.model.path = parameters["path"]
    options.hostnames = [str(Path(parameters["directory"]) / SOCKET)]
    options.api_keys = [parameters["key"]]
    options.n_ctx = parameters["context"]
    options.n_parallel = parameters["slots"]
    options.kv_unified = True
    options.n_batch, options.n_ubatch = parameters["batch"], parameters.get("ubatch", parameters["batch"])
    options.cpuparams.n_threads = parameters["threads"]
    options.cpuparams_batch.n_threads = parameters["batch_threads"]
    options.cache_ram_mib = 0  # it does not know whose a prompt is, nor do slots that clear each other
    options.cache_idle_slots = False
    options.n_ctx_checkpoints = CHECKPOINTS
    options.fit_params = False  # what fits is known: see `worker/memory/`
    options.check_tensors = True
    options.prefill_assistant = False
    options.ui = False
    options.endpoint_slots = False
    options.slot_save_path = parameters["directory"] + "/"
    options.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, scale) for path, scale in parameters["lora"]]
    options.rope_freq_base = parameters["rope_freq_base"]
    options.rope_freq_scale = parameters["rope_freq_scale"]
    options.chat_template = parameters["chat_template"]
    if parameters["attention"]:
        plain = parameters["attention"] == "plain"
        kinds = xllamacpp.llama_flash_attn_type
        options.flash_attn_type = kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED if plain else kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED
    if parameters["kv_cache"]:
        options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    if parameters["exact"]:
        options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if parameters["draft"]:
        options.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        options.speculative.draft.mparams.path = parameters["draft"]
        options.speculative.draft.n_max = DRAFTED
        options.speculative.draft.cpuparams.n_threads = parameters["threads"]
        options.speculative.draft.cpuparams_batch.n_threads = parameters["batch_threads"]
        options.endpoint_slots = True  # which tells whether the draft is of use
    elif parameters["speculation"]:  # of the kinds there are, the one that looks at nothing but the slot's own text
        options.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        ngram = options.speculative.ngram_simple
        ngram.size_n, ngram.size_m = REMEMBERED, GUESSED
    # What a file recommends the worker reads itself, within bounds; here it would be taken as it is.
    options.sampling.user_sampling_config = _ALL_SAID
    options.verbosity = _ERRORS_ONLY
    try:
        server = xllamacpp.Server(options)
    except RuntimeError:
        sys.exit("llama.cpp could not serve the model")
    _read_vocabulary(server)
    child.ready(_token_time(server) * parameters["batch"])  # a step reads a batch, faster than token by token
    while server:
        signal.pause()


def _read_vocabulary(server: Any) -> None:
    """For grammars: once, and a second of a large one, in which nobody else would be served."""
    asked = {"prompt": [0], "n_predict": 1, "cache_prompt": False, "grammar": "%llguidance {}\nstart: /./"}
    server.handle_completions(asked, lambda _: None)


def _token_time(server: Any) -> float:
    """Seconds that one token takes."""
    begun = time.monotonic()
    server.handle_completions({"prompt": [0], "n_predict": 1, "cache_prompt": False}, lambda _: None)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
