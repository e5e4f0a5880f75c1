"""The engine `llama.cpp` for models that make vectors and no text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shared.cancellation import NEVER, Cancellable
from shared.card import Card
from shared.catalogue import Model
from shared.config import Config
from shared.errors import InvalidRequest, ModelFileError
from shared.protocol import Delta, Event, TextTask
from worker.engines.host import EngineHost
from worker.engines.hosted import Hosted
from worker.engines.llama_cpp_files import Files, host_parameters
from worker.engines.llama_cpp_pairs import PairReader
from worker.engines.llama_cpp_pooling import LlamaPooler
from worker.engines.llama_cpp_pooling_client import PoolingClient
from worker.engines.llama_cpp_pooling_shape import pooling_context
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_specials import find_specials
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.llama_cpp_tokenizer import LlamaTokenizer
from worker.engines.pooling import NoScorer
from worker.engines.pooling_wire import PooledInput
from worker.engines.special_texts import Specials
from worker.formats.identity import digest, watch
from worker.formats.pooling import PoolingKind
from worker.formats.vocabulary import pieces, read_vocabulary

LEAST_SLOTS = 16
"""Requests at once: they share batches, and none of them takes any memory of the model's."""
_SURE = ("qwen3", "qwen3vl")
"""Architectures whose rank is a probability in llama.cpp, and no logit."""


class LlamaCppPoolingEngine(Hosted):
    """See `worker.engines.Engine`.

    Raises:
        ModelFileError: the file's header is damaged, or not GGUF.
        ModelLoadError: llama.cpp refused the file, or died of it.
    """

    def __init__(self, model: Model, config: Config, files: Files, kind: PoolingKind) -> None:
        header = files.header
        if files.draft:
            raise ModelFileError(f"{files.draft}: {files.path.name} generates no text, so it takes no draft")
        ranks = kind is PoolingKind.RANK
        context, step = pooling_context(files, kind, config)
        identity, unchanged = files.identify(model), watch(lambda: files.identify(model))
        parameters: dict[str, Any] = {
            **host_parameters(model, files, config, context, ""),
            "context": context,
            "step": step,
            "exact": files.exact(context),
            "pooling": int(kind),
            "ranks": ranks,
            "chances": ranks and header.architecture in _SURE,
        }
        self.pace = {"threads": parameters["batch_threads"]}
        self._host = EngineHost("worker.engines.llama_cpp_pooling_host", model.id, parameters, unchanged)
        client = PoolingClient(self._host)
        self._text = text = LlamaText(client, spaced=header.spaced, ended=True)
        try:
            specials = Specials() if model.parse_special else find_specials(model, files, text)
            text.specials = specials.control
            around, marks = text.around(), client.marks()
            ((vector,), _) = client.pool([PooledInput([around[0] or [0]])])
        except BaseException:
            self._host.close()
            raise
        self._pieces = pieces(files.path)  # now: another file may take its place later
        self._reader = PromptReader(text, specials, size=header.vocabulary_size, bos=header.bos)
        self.card = Card(
            id=model.id,
            engine="llama.cpp",
            architecture=header.architecture,
            context=context,
            slots=max(config.slots, LEAST_SLOTS),
            created=int(files.path.stat().st_mtime),
            capabilities=(kind.ability,),
            digest=digest(identity, read_vocabulary(files.path, header)),
            longest_piece=max(map(len, self._pieces), default=0) if header.spells_all else 0,
            embedding=0 if ranks else len(vector) // 4,
        )
        template = header.metadata.get("tokenizer.chat_template.rerank")
        self.pooler = LlamaPooler(
            client,
            text,
            around,
            PairReader(template if isinstance(template, str) else "", marks, specials),
            context=context,
            size=header.vocabulary_size,
            special=model.parse_special,
        )
        self.tokenizer = LlamaTokenizer(
            text, self._reader, None, None, header, lambda: self._pieces, context=context, system=False, template=""
        )
        self.scorer = NoScorer()

    def continues(self, task: TextTask) -> bool:
        return False

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        raise InvalidRequest("This model makes vectors, and no text.", param="model", code="unsupported_value")

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        return self._text.tokens(text, work)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        self._reader.check(tokens, "tokens")
        return b"".join(self._pieces[token] for token in tokens)

    def close(self) -> None:
        self._host.close()
