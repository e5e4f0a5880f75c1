"""The ledger of a batch: what became of its lines, written down for good, some at a time.

It is a thing of the archive with parts, numbered: the *entries*. Whoever adds one takes the number after those that he
has seen, so of two who feed one batch at the same time one is told that he has missed something. All goes in one step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from gateway.archive.archive import Archive
from gateway.archive.index import MOST_PAGE
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.ending import LineEnd
from shared.errors import ArchiveDamaged, NotStored

_KIND = ThingKind.OUTCOMES


class BatchLedger:
    """As one process knows it. Raises ArchiveUnavailable, ArchiveFull."""

    def __init__(self, archive: Archive, batch: Thing) -> None:
        self._archive = archive
        self._root = Thing(f"outcomes_{batch.id}", _KIND, batch.owner, batch.created, batch.expires)
        self._next = 0
        self._last: Thing | None = None
        """The entry before that."""
        self.told = set[int]()
        """The numbers of lines that have ended."""
        self.counts = Counter[str]()
        """By the names of `Batch`: `completed` and `failed` lines, and tokens."""

    def open(self) -> None:
        """Have it there, and know what is written down in it."""
        self._archive.keep(self._root)
        self.load()

    def load(self) -> None:
        """What is written down now."""
        self.told.clear()
        self.counts.clear()
        self._last = None
        for entry in self._entries():
            self._note(entry)

    def add(self, ends: Sequence[LineEnd]) -> bool:
        """Write down how these lines have ended, none of which is told yet.

        False, and nothing is written, where somebody else has done so meanwhile: that is known from here on. Raises
        NotStored where it is not open any more: somebody else has ended the batch.
        """
        well, badly = [end for end in ends if end.well], [end for end in ends if not end.well]
        facts: dict[str, Any] = {
            "completed": [end.number for end in well],
            "failed": [end.number for end in badly],
            "split": sum(len(end.text) for end in well),
            "tokens": _tokens(ends),
        }
        entry_id = f"{self._root.id}_{self._next}"
        entry = Thing(entry_id, _KIND, self._root.owner, self._root.created, facts=facts, parent=self._root.id)
        kept = self._archive.keep(entry, [end.text for end in (*well, *badly)])
        if kept is None:
            self.load()
            return False
        self._note(kept)
        return True

    def check(self) -> None:
        """Raises ArchiveDamaged where an index in Redis has forgotten what is known here: it is to be begun anew."""
        if self._last:
            with suppress(NotStored):
                if self._archive.find(self._last.owner, _KIND, self._last.id).blob == self._last.blob:
                    return
            raise ArchiveDamaged(f"The index has forgotten {self._last.id}.")

    def texts(self, *, well: bool) -> Iterator[bytes]:
        """What is told of all lines that have ended well, or badly, in pieces: of each once.

        Raises ArchiveDamaged where some of it is lost: it is not told any more that these lines have ended.
        """
        seen = set[int]()
        for entry in self._entries():
            numbers, split = [*entry.facts["completed"], *entry.facts["failed"]], entry.facts["split"]
            part = (0, split) if well else (split, entry.size)
            if seen.isdisjoint(numbers):
                yield from self._read(entry, *part) if part[0] < part[1] else ()
            else:  # Redis had lost an entry, and others have written before that was noticed
                lines = b"".join(self._read(entry, *part)).splitlines(keepends=True)
                named = zip(entry.facts["completed" if well else "failed"], lines, strict=True)
                yield b"".join(line for number, line in named if number not in seen)
            seen.update(numbers)
        if not seen >= self.told:
            raise ArchiveDamaged(f"The index has forgotten some of {self._root.id}.")

    def remove(self) -> None:
        with suppress(NotStored):
            self._archive.remove(self._root.owner, _KIND, self._root.id)

    def _read(self, entry: Thing, start: int, end: int) -> Iterator[bytes]:
        try:
            yield from self._archive.read(entry, start, end)
        except (NotStored, ArchiveDamaged) as exc:  # or an index in Redis has forgotten that it was removed
            with suppress(NotStored):
                self._archive.remove(entry.owner, _KIND, entry.id)
            raise ArchiveDamaged(f"{entry.id} is lost: {exc}") from exc

    def _note(self, entry: Thing) -> None:
        for name in ("completed", "failed"):
            new = set(entry.facts[name]) - self.told
            self.counts[name] += len(new)
            self.told |= new
        self.counts.update(entry.facts["tokens"])
        self._next, self._last = int(entry.id.rpartition("_")[2]) + 1, entry

    def _entries(self) -> Iterator[Thing]:
        after, more = "", True
        while more:
            page = self._archive.page(
                self._root.owner, _KIND, limit=MOST_PAGE, after=after, parent=self._root.id, descending=False
            )
            yield from page.things
            more = page.more
            after = page.things[-1].id if page.things else ""


def _tokens(ends: Sequence[LineEnd]) -> dict[str, int]:
    found = [end.usage for end in ends]
    return {
        "input_tokens": sum(used.prompt_tokens for used in found),
        "cached_tokens": sum(used.cached_tokens for used in found),
        "output_tokens": sum(used.completion_tokens for used in found),
        "reasoning_tokens": sum(used.reasoning_tokens for used in found),
    }
