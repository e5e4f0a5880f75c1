"""A context of libllama that makes vectors: it reads many short sequences in one batch, and remembers none of them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int32
from typing import TYPE_CHECKING, Any

from worker.engines.libllama_layout import UnknownLibrary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from worker.formats.word_pieces import WordPieces

_RANK = 4
"""The kind of pooling by which a model tells numbers of its own, and no place among meanings."""


class PoolingContext:
    """Made by `MappedModel.pooling_context`, for batches of so many tokens at most."""

    def __init__(self, library: Any, model: int, context: int, batch: int, vocabulary: int) -> None:
        import numpy as np

        self._library, self._context, self._vocabulary = library, context, vocabulary
        self._memory = library.llama_get_memory(context)
        """None where no token looks at what was read before."""
        kind = library.llama_pooling_type(context)
        ranks = kind == _RANK
        self.size: int = library.llama_model_n_cls_out(model) if ranks else library.llama_model_n_embd_out(model)
        """Numbers of what is told of a sequence."""
        if kind <= 0 or not 0 < self.size < 1 << 20:
            raise RuntimeError("it makes no vectors")
        self._batch = library.llama_batch_init(batch, 0, 1)
        if self._batch.n_tokens or self._batch.embd or not (self._batch.token and self._batch.logits):
            raise UnknownLibrary("its llama_batch is another one")
        shape = (batch,)
        self._tokens = np.ctypeslib.as_array(self._batch.token, shape)
        self._positions = np.ctypeslib.as_array(self._batch.pos, shape)
        np.ctypeslib.as_array(self._batch.n_seq_id, shape)[:] = 1
        np.ctypeslib.as_array(self._batch.logits, shape)[:] = 1
        # Each token points at its one sequence: all of them are made to point into one array.
        self._sequences = np.zeros(batch, np.int32)
        self._places = (ctypes.POINTER(c_int32) * batch)(
            *(self._sequences[place:].ctypes.data_as(ctypes.POINTER(c_int32)) for place in range(batch))
        )
        self.words: WordPieces | None = None
        """What splits texts in llama.cpp's place."""
        self._batch.seq_id = ctypes.cast(self._places, ctypes.POINTER(ctypes.POINTER(c_int32)))

    @property
    def remembers(self) -> bool:
        """It has memory for what it reads, as much as that of a model that generates text."""
        return bool(self._memory)

    def pool(self, sequences: Sequence[Sequence[int]], threads: int) -> npt.NDArray[np.float32]:
        """A row of numbers for each, of whatever length; none of them knows of the others. Damaged weights, or a text
        that is too much for them, make infinite ones, or none. Raises RuntimeError."""
        import numpy as np

        self._library.llama_set_n_threads(self._context, threads, threads)
        end = 0
        for number, tokens in enumerate(sequences):
            start, end = end, end + len(tokens)
            self._tokens[start:end] = tokens
            self._positions[start:end] = np.arange(len(tokens))
            self._sequences[start:end] = number
        self._batch.n_tokens = end
        if self._memory:
            self._library.llama_memory_clear(self._memory, False)
        if status := self._library.llama_decode(self._context, self._batch):
            raise RuntimeError(f"llama_decode returned {status}")
        rows = np.empty((len(sequences), self.size), np.float32)
        for number in range(len(sequences)):
            told = self._library.llama_get_embeddings_seq(self._context, number)
            if not told:
                raise RuntimeError("llama.cpp made no vector")
            rows[number] = np.ctypeslib.as_array(told, (self.size,))
        return rows

    def tokenize(self, text: bytes, *, begins: bool, special: bool) -> list[int]:
        """The tokens of some UTF-8. One that `begins` has those that the model puts around a text; where `special`
        ones count, their names are the tokens."""
        if self.words is None:
            return self._tokenize(text, begins=begins, special=special)
        around = self._tokenize(b"", begins=begins, special=False)
        return [*around[:1], *self.words.encode(text.decode(), special=special), *around[1:]]

    def _tokenize(self, text: bytes, *, begins: bool, special: bool) -> list[int]:
        room = len(text) + 16
        tokens = (c_int32 * room)()
        count = self._library.llama_tokenize(self._vocabulary, text, len(text), tokens, room, begins, special)
        if count < 0:  # it is more than were expected, which it tells
            room = -count
            tokens = (c_int32 * room)()
            count = self._library.llama_tokenize(self._vocabulary, text, len(text), tokens, room, begins, special)
        return tokens[: max(0, count)]

    def marks(self) -> list[list[int]]:
        """The tokens that llama.cpp puts before, between and after a query and a document that it ranks."""
        ask, vocabulary = self._library, self._vocabulary
        begins, ends, parts = (
            getattr(ask, f"llama_vocab_get_add_{name}")(vocabulary) for name in ("bos", "eos", "sep")
        )
        begin, end, part = (getattr(ask, f"llama_vocab_{name}")(vocabulary) for name in ("bos", "eos", "sep"))
        end = end if end >= 0 else part
        return [[begin] * begins, [end] * ends + [part] * parts, [end] * ends]
