"""The engine `llama.cpp`: GGUF models, computed by xllamacpp's server in an engine host."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from shared.catalogue import Model
from shared.config import Config
from shared.cores import usable
from shared.errors import ContextLengthExceeded, EngineError, InvalidRequest
from shared.protocol import Chat, Completion, Delta, Event, Prompt, Sampling, Task
from shared.registry import Card
from worker.engines import Execution
from worker.engines.cells import Cells
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_client import Client
from worker.engines.llama_cpp_generation import Generation
from worker.formats.gguf import read_header

_OPENAI_DEFAULTS = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


_COLDEST = 1e-6
"""A lower temperature takes the logits out of the range of a float, and nonsense comes out; 0 takes the likeliest."""


class LlamaCppEngine:
    """See `worker.engines.Engine`.

    Raises:
        ModelFileError: the file's header is damaged, or not GGUF.
        ModelLoadError: llama.cpp refused the file, or died of it.
    """

    def __init__(self, model: Model, config: Config) -> None:
        path = model.path
        if path is None:
            raise EngineError(f"the engine llama.cpp needs a file for the model {model.id!r}")
        header = read_header(path)
        self._bos, self._vocabulary_size = header.bos, header.vocabulary_size
        self._defaults = {**_OPENAI_DEFAULTS, **header.sampling}
        key = secrets.token_urlsafe()
        parameters = {
            "path": str(path.resolve()),
            "key": key,
            "context": config.context,
            "slots": config.slots,
            "threads": config.threads or max(1, usable() - 1),
            "batch_threads": config.threads or usable(),
        }
        self._host = EngineHost("worker.engines.llama_cpp_host", model.id, parameters)
        self._client = Client(self._host, key)
        try:
            properties = self._client.ask("/props")
        except BaseException:
            self._host.close()
            raise
        self.card = Card(
            id=model.id,
            engine="llama.cpp",
            architecture=header.architecture,
            context=properties["default_generation_settings"]["n_ctx"],
            slots=properties["total_slots"],
            created=int(path.stat().st_mtime),
            capabilities=("completion", "continue", *(("chat",) if header.chat_template else ())),
        )
        self._cells = Cells(self.card.context)

    @property
    def trouble(self) -> str:
        return self._host.trouble

    @property
    def host_pid(self) -> int | None:
        return self._host.pid

    def run(self, task: Task, execution: Execution, past: Sequence[Delta] = ()) -> Iterator[Event]:
        param, prompt = self._render(task, execution)
        tokens = self._tokens(prompt, execution)
        if not tokens:
            if self._bos is None:
                raise InvalidRequest("the prompt is empty, and this model has no token to begin with", param=param)
            tokens = [self._bos]
        if len(tokens) >= self.card.context:
            raise ContextLengthExceeded(len(tokens), self.card.context, param=param)
        choosing = self._choosing(task.sampling)
        if isinstance(task, Completion) and task.best_of > 1:
            choosing["n_probs"] = 1
        generation = Generation(self._client, self._cells, prompt, tokens, task.sampling, choosing, execution, past)
        yield from generation.events(self.card.context)

    def close(self) -> None:
        self._host.close()

    def _render(self, task: Task, execution: Execution) -> tuple[str, Prompt]:
        """The parameter that the prompt comes from, and the prompt.

        llama.cpp drops the template's BOS here when its tokenizer adds one: there is never a second.
        """
        if not isinstance(task, Chat):
            return "prompt", task.prompt[0]
        messages = [{"role": message.role, "content": message.content} for message in task.messages]
        rendered = self._client.ask("/apply-template", {"messages": messages}, lambda: execution.cancelled, "messages")
        return "messages", rendered["prompt"]

    def _tokens(self, prompt: Prompt, execution: Execution) -> list[int]:
        if isinstance(prompt, str):
            return self._client.tokens(prompt, lambda: execution.cancelled)
        if (highest := max(prompt)) >= self._vocabulary_size:
            raise InvalidRequest(f"{highest} is no token: this model has {self._vocabulary_size}", param="prompt")
        return list(prompt)

    def _choosing(self, sampling: Sampling) -> dict[str, Any]:
        given = {name: getattr(sampling, name) for name in _OPENAI_DEFAULTS}
        chosen = {name: default if given[name] is None else given[name] for name, default in self._defaults.items()}
        if chosen["temperature"] < _COLDEST:
            chosen["temperature"] = 0.0
        return chosen | {
            "seed": sampling.seed,
            "stop": sampling.stop,
            "ignore_eos": sampling.ignore_eos,
            "logit_bias": sampling.logit_bias,
        }
