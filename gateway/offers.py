"""The models that requests may ask for, made of what Redis knows of models, workers and queues. Pure.

A request waits in the queue for a model that is loaded, or that a worker is loading, or that a machine's agent loads
when it is asked for, or that was served within the last minutes, or that an operator expects. Of others that are known
it is told why not: another worker, or a later time, may do better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.agents import Agent, ModelOnDemand, ModelState
from shared.card import LATEST, Card
from shared.registry import Worker


class Readiness(StrEnum):
    """Of a model; the words are those of llama.cpp's router."""

    LOADED = "loaded"
    LOADING = "loading"
    UNLOADED = "unloaded"
    FAILED = "failed"


_STATES = {
    Readiness.LOADED: ModelState.READY,
    Readiness.LOADING: ModelState.LOADING,
    Readiness.UNLOADED: ModelState.AVAILABLE,
    Readiness.FAILED: ModelState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that is known."""

    card: Card
    """An outline, with gaps, where no worker has loaded it lately."""
    status: Readiness
    refusal: str = ""
    """Why no request for it is accepted now; empty where they are."""
    on_demand: bool = False
    """An agent offers it."""
    reason: str = ""
    """Why it could not be loaded, where an agent says so."""
    lasting: bool = False
    """It is refused until its file is another one: to come again is in vain."""

    @property
    def state(self) -> ModelState:
        return _STATES[self.status]

    @property
    def vague(self) -> bool:
        """Only its id is known: it may have aliases."""
        return not self.card.created

    @property
    def names(self) -> tuple[str, ...]:
        return (self.card.id, *self.card.aliases)


def offers(
    cards: Mapping[str, Card],
    workers: Iterable[Worker],
    queues: Iterable[str],
    expected: Collection[str] = (),
    agents: Iterable[Agent] = (),
) -> dict[str, Offer]:
    """By id: in the order of their ids, those that are refused last.

    `cards` are those of models served lately, `queues` the models whose jobs are not over, `expected` those whose
    workers will come, `agents` those of the machines.
    """
    found = []
    theirs, offered = defaultdict[str, list[Worker]](list), defaultdict[str, list[ModelOnDemand]](list)
    for worker in workers:
        theirs[worker.model].append(worker)
    for model in (model for agent in agents for model in agent.models):
        offered[model.outline.id].append(model)
    for name in sorted({*cards, *queues, *expected, *theirs, *offered}):
        own, card = theirs.get(name, []), cards.get(name)
        if name in offered:
            found.append(_on_demand(card, own, offered[name]))
        else:
            found.append(_offer(name, card, own, expected=name in expected))
    return {offer.card.id: offer for offer in sorted(found, key=lambda offer: bool(offer.refusal))}


def lookup(name: str, known: Mapping[str, Offer]) -> Offer | None:
    """The one of that id, or else of that alias; one that is refused only where no other has the name.

    Ollama's clients say `:latest` behind a name that has no version.
    """
    claims = (offer for offer in known.values() if name in offer.names)
    found = min(claims, key=lambda offer: _rank(offer, name), default=None)
    return found if found or not name.endswith(LATEST) else lookup(name.removesuffix(LATEST), known)


def claims(served: Iterable[Offer]) -> list[tuple[Offer, str]]:
    """These models, each under all the names by which requests find it."""
    found = [(offer, name) for offer in {offer.card.id: offer for offer in served}.values() for name in offer.names]
    best = dict[str, Offer]()
    for offer, name in found:
        if name not in best or _rank(offer, name) < _rank(best[name], name):
            best[name] = offer
    return [(offer, name) for offer, name in found if best[name] is offer]


def _rank(offer: Offer, name: str) -> tuple[bool, bool]:
    """Of those that have the name the first one of the lowest rank is meant."""
    return bool(offer.refusal), offer.card.id != name


def _on_demand(card: Card | None, workers: Sequence[Worker], offered: Sequence[ModelOnDemand]) -> Offer:
    """What an agent loads. A worker of its own may fail before the agent gives up."""
    if any(worker.card for worker in workers):
        served = _offer(workers[0].model, card, workers, expected=False)
        return replace(served, on_demand=True)
    hopes = [each for each in offered if each.state is not ModelState.FAILED]
    loading = [worker.outline for worker in workers if not worker.failing and worker.outline]
    if hopes or loading:
        begun = loading or any(each.state is not ModelState.AVAILABLE for each in hopes)
        newest = max([*loading, *(each.outline for each in hopes)], key=lambda outline: outline.created)
        # Where its file was replaced by a newer one, what it was when it was served does not count any more.
        known = newest if card is None or (newest.size and newest.created > card.created) else card
        return Offer(known, Readiness.LOADING if begun else Readiness.UNLOADED, on_demand=True)
    failed = offered[0]
    told = f"The model {failed.outline.id!r} cannot be served: {failed.reason.rstrip('.')}."
    lasting = all(each.lasting for each in offered)
    return Offer(failed.outline, Readiness.FAILED, told, on_demand=True, reason=failed.reason, lasting=lasting)


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
