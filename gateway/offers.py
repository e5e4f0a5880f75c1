"""The models that requests may ask for, made of what Redis knows of models, workers and queues. Pure.

A request waits in the queue for a model that is loaded, or that a worker is loading, or that was served within the last
minutes, or that an operator expects. Of others that are known it is told why not: another worker, or a later time, may
do better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.card import LATEST, Card
from shared.registry import Worker


class Readiness(StrEnum):
    """Of a model; the words are those of llama.cpp's router."""

    LOADED = "loaded"
    LOADING = "loading"
    UNLOADED = "unloaded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that is known."""

    card: Card
    """An outline, with gaps, where no worker has loaded it lately."""
    status: Readiness
    refusal: str = ""
    """Why no request for it is accepted now; empty where they are."""

    @property
    def vague(self) -> bool:
        """Only its id is known: it may have aliases."""
        return not self.card.created

    @property
    def names(self) -> tuple[str, ...]:
        return (self.card.id, *self.card.aliases)


def offers(
    cards: Mapping[str, Card], workers: Sequence[Worker], queues: Iterable[str], expected: Collection[str] = ()
) -> dict[str, Offer]:
    """By id: in the order of their ids, those that are refused last.

    `cards` are those of models served lately, `queues` the models whose jobs are not over, `expected` those whose
    workers will come.
    """
    found = []
    for name in sorted({*cards, *queues, *expected, *(worker.model for worker in workers)}):
        own = [worker for worker in workers if worker.model == name]
        found.append(_offer(name, cards.get(name), own, expected=name in expected))
    return {offer.card.id: offer for offer in sorted(found, key=lambda offer: bool(offer.refusal))}


def lookup(name: str, known: Mapping[str, Offer]) -> Offer | None:
    """The one of that id, or else of that alias; one that is refused only where no other has the name.

    Ollama's clients say `:latest` behind a name that has no version.
    """
    claims = (offer for offer in known.values() if name in offer.names)
    found = min(claims, key=lambda offer: (bool(offer.refusal), offer.card.id != name), default=None)
    return found if found or not name.endswith(LATEST) else lookup(name.removesuffix(LATEST), known)


def claims(served: Iterable[Offer]) -> list[tuple[Offer, str]]:
    """These models, each under all the names by which requests find it."""
    known = {offer.card.id: offer for offer in served}
    return [(offer, name) for offer in known.values() for name in offer.names if lookup(name, known) is offer]


def _offer(name: str, card: Card | None, workers: Sequence[Worker], *, expected: bool) -> Offer:
    """`card` is that of a worker which has loaded the model, now or lately; `workers` are its own.

    While they are of two releases, what the older ones do not know they leave to the others: so the ablest counts.
    """
    ready = [worker.card for worker in workers if worker.card]
    loading = [worker for worker in workers if not worker.card and not worker.failing]
    idle = Readiness.FAILED if workers else Readiness.UNLOADED
    status = Readiness.LOADED if ready else Readiness.LOADING if loading else idle
    served = max(ready, key=_abilities, default=card)
    if served:
        return Offer(served, status)
    outlines = [worker.outline for worker in loading if worker.outline]
    if outlines:
        return Offer(max(outlines, key=lambda outline: len(outline.capabilities)), status)
    blank = Card(name, "", "", context=0, slots=0, created=0)
    if expected and not workers:
        return Offer(blank, status)
    if loading:  # by 0.2.0: it does not check what it is asked for, and its reasons are not for clients
        reason = "is not ready yet"
    elif workers:
        reason = f"cannot be served at the moment: {workers[0].reason.rstrip('.')}"
    else:
        reason = "has no worker at the moment"
    known = next((worker.outline for worker in workers if worker.outline), blank)
    return Offer(known, status, f"The model {name!r} {reason}. Please try again soon.")


def _abilities(card: Card) -> int:
    return len(card.capabilities) + len(card.honours)
