"""Which of llama.cpp's two engines a model's file needs: text or vectors, never both."""

from __future__ import annotations

from shared.catalogue import Model
from shared.config import Config
from worker.engines import Engine
from worker.engines.llama_cpp_files import check_files


def load_model(model: Model, config: Config) -> Engine:
    """See `worker.engines.load`."""
    files = check_files(model)
    if kind := files.pooling:
        from worker.engines.llama_cpp_pooling_engine import LlamaCppPoolingEngine

        return LlamaCppPoolingEngine(model, config, files, kind)
    from worker.engines.llama_cpp import LlamaCppEngine

    return LlamaCppEngine(model, config)
