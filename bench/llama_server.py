"""llama.cpp's own HTTP server on a port of this machine: with these numbers, and else as it is by itself.

python -m bench.llama_server FILE PORT SLOTS [THREADS BATCH_THREADS CONTEXT]
"""

from __future__ import annotations

import signal
import sys

import xllamacpp

from shared.config import Config

file, port, slots = sys.argv[1:4]
threads, batch_threads, context = map(int, sys.argv[4:] or (1, 1, 2048))
options = xllamacpp.CommonParams()
options.model.path = file
options.hostnames = ["127.0.0.1"]
options.port = int(port)
options.n_ctx = context
options.n_parallel = int(slots)
options.kv_unified = True
options.n_batch = options.n_ubatch = Config().step
options.cpuparams.n_threads, options.cpuparams_batch.n_threads = threads, batch_threads
options.prefill_assistant = False
options.ui = False
options.verbosity = 1
server = xllamacpp.Server(options)
while server:
    signal.pause()
