"""What a model needs that llama.cpp serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.catalogue import Model
from shared.config import Config
from worker.engines.llama_cpp_files import EXACT, Files, context_of, host_parameters, outputs_of, step_of
from worker.engines.llama_cpp_host import CHECKPOINTS
from worker.engines.llama_cpp_pooling_shape import PoolingShape, pooling_context
from worker.engines.pooling_host import MOST_SEQUENCES
from worker.formats.gguf import read_header, read_model
from worker.formats.identity import identity
from worker.formats.pooling import PoolingKind
from worker.memory.bound import Bound
from worker.memory.footprint import Footprint
from worker.memory.needs import Needs
from worker.memory.sizes import CELL, HOST, PAD, POOLING_HOST, SLOT, TOKEN, WORKER
from worker.memory.survey import MemorySurvey, survey

USUAL = 4096
"""Tokens of the context of a model that does not tell its own."""
_WIDE, _NARROW = 4, 2
_NO_POOLING = -1
_APART = 8192
"""Tokens by which llama.cpp keeps states of earlier requests apart when all places but one are taken; of the latest
request it keeps two, or more where its prompt is read in small pieces, beside those of other slots."""


class LlamaNeeds(Needs):
    """Of a model that generates text."""

    def __init__(self, model: Model, files: Files, config: Config) -> None:
        self._model, self._files, self._config = model, files, config
        self.most = context_of(files, config) or files.header.context_length or USUAL
        self._batch, self._outputs = step_of(files, config), outputs_of(files, config)
        self._heads = files.header.heads + (read_model(files.draft).heads if files.draft else 0)
        self._known: dict[tuple[Path, bool], MemorySurvey | Bound] = {}

    def of(self, context: int) -> Footprint:
        files, slots = self._files, self._config.slots
        exact = files.exact(context)
        sources = [self._source(path, exact) for path in (files.path, files.draft) if path]
        sizes, fixed = [source.of(context) for source in sources], [source.fixed(context) for source in sources]
        kept = [source.kept(context) for source in sources]
        if len(kept) > 1 and not kept[1]:  # a state of the draft's is then of all that it has read
            kept[1] = sizes[1].cells
        vocabulary = files.header.vocabulary_size
        adapters = sum(tensor.size for path in dict(files.lora) for tensor in read_header(path).tensors)
        return Footprint(
            context,
            weights=sum(each.weights for each in sizes),
            copies=sum(each.copies for each in sizes) + adapters,
            cells=sum(
                each.cells + CELL * context * (each.cells > still) for each, still in zip(sizes, fixed, strict=True)
            ),
            compute=sum(each.compute for each in sizes)
            + len(sizes) * self._outputs * vocabulary * _WIDE
            + self._halved(context) * (not exact),
            cache=self._states(context, windowed=kept[0] < fixed[0]) * sum(kept) * bool(kept[0]),
            process=WORKER + HOST + len(sizes) * TOKEN * vocabulary + SLOT * slots,
            measured=not any(isinstance(source, Bound) for source in sources),
        )

    def largest(self, free: int) -> int:
        found = super().largest(free)
        if not found and self._files.exact(EXACT) and self.most > EXACT:  # short contexts take twice as much a token
            found = self._search(PAD, EXACT, free)
        return found

    def _halved(self, context: int) -> int:
        """Bytes of plain attention's weights once more, in the 16 bits of the values: llama.cpp does not say so."""
        plain = self._config.attention == "plain"
        return plain * min(self._batch, context) * -(-context // PAD) * PAD * self._heads * _NARROW

    def _states(self, context: int, *, windowed: bool) -> int:
        """Of each slot, that are kept at the same time."""
        alone = self._config.slots == 1 and context <= (CHECKPOINTS - 3) * _APART
        back = bool(self._files.draft or self._config.speculation) and not windowed  # to where it was before a guess
        return CHECKPOINTS - alone + back

    def _source(self, path: Path, exact: bool) -> MemorySurvey | Bound:
        """Whoever tells of the model, or of its draft."""
        if (path, exact) in self._known:
            return self._known[path, exact]
        files, slots = self._files, self._config.slots
        ours = path == files.path
        asked = _asked(self._model, path, files, exact=exact, attention=self._config.attention)
        asked |= {"batch": self._batch, "step": self._batch, "slots": slots, "kv_cache": self._config.kv_cache}
        asked |= {"outputs": self._outputs}
        told = survey(files.identify(self._model) if ours else identity([path]), asked)
        header = files.header if ours else read_model(path)
        plain = self._config.attention == "plain"
        found = told or Bound(
            path, header, slots=slots, batch=self._batch, outputs=self._outputs, exact=exact, plain=plain
        )
        self._known[path, exact] = found
        return found


class PoolingNeeds(Needs):
    """Of a model that makes vectors: its context is a batch, and of each lane one."""

    def __init__(self, model: Model, files: Files, config: Config, kind: PoolingKind) -> None:
        self._model, self._files, self._config, self._kind = model, files, config, kind
        self.most, self._step = pooling_context(files, kind, config)

    def of(self, context: int) -> Footprint:
        files, vocabulary = self._files, self._files.header.vocabulary_size
        parameters: dict[str, Any] = host_parameters(self._model, files, self._config, context, "")
        exact = files.exact(context)
        shape = PoolingShape.of({**parameters, "context": context, "step": self._step, "exact": exact})
        attention = "plain" if shape.plain else ""
        asked = _asked(self._model, files.path, files, exact=exact, attention=attention)
        asked |= {"batch": shape.batch, "step": shape.step, "slots": MOST_SEQUENCES, "pooling": int(self._kind)}
        source: MemorySurvey | Bound | None = survey(files.identify(self._model), asked, alone=shape.batch)
        if source is None:
            source = Bound(
                files.path, files.header, slots=1, batch=shape.step, outputs=shape.step, exact=exact, plain=shape.plain
            )
        sizes = source.of(shape.batch)
        return Footprint(
            context,
            sizes.weights,
            sizes.copies,
            shape.lanes * sizes.cells,
            shape.lanes * sizes.compute,
            0,
            WORKER + POOLING_HOST + TOKEN * vocabulary,
            isinstance(source, MemorySurvey),
        )

    def largest(self, free: int) -> int:
        context = self.most
        while context and self.of(context).total > free:
            context //= 2
        return context


def _asked(model: Model, path: Path, files: Files, *, exact: bool, attention: str) -> dict[str, Any]:
    """What the child of a survey needs to know, but for the sizes."""
    return {
        "title": f"{model.id} survey",
        "path": str(path),
        "reads": [str(each) for each in ((*files.parts,) if path == files.path else (path,))],
        "exact": exact,
        "attention": attention,
        "pooling": _NO_POOLING,
    }
