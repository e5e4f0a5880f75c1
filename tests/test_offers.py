"""What is known of a model, whoever says it: its card, its workers, and the machines that offer it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.offers import Offer, Readiness, claims, lookup, offers
from shared.agents import Agent, ModelOnDemand, ModelState
from shared.card import Card
from shared.registry import Worker


def worker(model: str = "m", **more: Any) -> Worker:
    return Worker(f"{model}-1", model, "host", 1, 1, **more)


def card(model: str = "m", **more: Any) -> Card:
    return Card(model, "echo", "echo", **{"context": 8, "slots": 1, "created": 1, **more})


OLD = {"reason": "/a/path: it is damaged", "version": "0.2.0"}
"""Version 0.2.0 says nothing else of a model that it loads, or cannot load."""


@pytest.mark.parametrize(
    ("cards", "workers", "status", "refusal"),
    [
        ([card()], [worker(card=card())], "loaded", ""),
        ([], [worker(card=card())], "loaded", ""),
        ([card()], [], "unloaded", ""),
        ([card()], [worker(outline=card(context=0))], "loading", ""),
        ([card()], [worker(outline=card(), failing=True, reason="R.")], "failed", ""),
        ([], [worker(outline=card(context=0))], "loading", ""),
        ([], [worker(outline=card(), failing=True, reason="R."), worker(outline=card())], "loading", ""),
        ([], [worker(outline=card(), failing=True, reason="R.")], "failed", "at the moment: R. Please"),
        ([], [worker(**OLD)], "loading", "'m' is not ready yet. Please"),
        ([], [worker(**OLD), worker(outline=card())], "loading", ""),
        ([], [worker(**OLD), worker(outline=card(), failing=True, reason="R.")], "loading", "is not ready yet"),
        ([], [], "unloaded", "has no worker"),
    ],
)
def test_what_is_offered(cards: list[Card], workers: list[Worker], status: Readiness, refusal: str) -> None:
    found = offers({each.id: each for each in cards}, workers, {"m"})
    assert list(found) == ["m"]
    assert found["m"].status == status
    assert bool(found["m"].refusal) == bool(refusal)
    assert refusal in found["m"].refusal


def test_what_is_expected_is_waited_for_until_a_worker_says_more() -> None:
    def refusal(*workers: Worker) -> str:
        return offers({}, workers, (), {"m"})["m"].refusal

    assert refusal() == ""
    assert refusal(worker(outline=card())) == ""
    assert refusal(worker(outline=card(), failing=True, reason="R.")) != ""


def test_a_file_that_was_replaced_is_not_known_by_what_it_was() -> None:
    """For minutes a request would be held to the abilities and the context of what is no longer there."""
    served = card(created=5, size=1, capabilities=("completion",))

    def found(**more: Any) -> Card:
        outline = card(context=0, capabilities=("completion", "chat"), **more)
        offered = ModelOnDemand(outline, ModelState.AVAILABLE, 0)
        return offers({"m": served}, (), (), agents=[Agent("a", "host", 1, 0, 0, (offered,))])["m"].card

    assert found(created=5, size=1) == served
    assert found(created=4, size=1) == served, "of a legacy file the one that was made of it is served"
    assert found(created=6, size=0) == served, "without a file it is the time of a start"
    assert found(created=6, size=1).context == 0


def test_of_workers_of_two_releases_the_ablest_counts() -> None:
    old, new = card(capabilities=("chat",)), card(capabilities=("chat", "tools"), honours=("grammar",))
    for workers, counts in (((old, new), new), ((new, old), new), ((old,), old), ((), old)):
        assert offers({"m": old}, [worker(card=each) for each in workers], ())["m"].card == counts


def test_those_that_are_refused_come_last() -> None:
    found = offers({"b": card("b", aliases=("x",))}, [worker("a", outline=card("a", aliases=("x",)), failing=True)], ())
    assert list(found) == ["b", "a"]


def test_a_name_is_that_of_a_model_that_can_be_asked_for() -> None:
    """Jobs of a model that is gone, whose name another one has now, do not keep that from being found."""
    heir = {"b": card("b", aliases=("m",))}

    def found(*workers: Worker, queues: tuple[str, ...] = ()) -> str:
        offer = lookup("m", offers(heir, workers, queues))
        assert offer
        return offer.card.id

    assert found(queues=("m",)) == "b"
    assert found(worker(outline=card(), failing=True)) == "b"
    assert found(worker(outline=card())) == "m"
    assert lookup("m", offers({}, [], ("m",))) is not None


def test_names_are_listed_with_one_look_at_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand models, who looked through all for each name would hold up all streams of the process."""
    cards = {f"m{number}": card(f"m{number}", aliases=("alias", f"m{number + 1}")) for number in range(1000)}
    known, looks = offers(cards, (), ()), list[Offer]()

    def look(offer: Offer) -> tuple[str, ...]:
        looks.append(offer)
        return (offer.card.id, *offer.card.aliases)

    monkeypatch.setattr(Offer, "names", property(look))
    listed = claims(known.values())
    assert len(looks) == 1000
    assert len(listed) == 1002
    others = {name: offer.card.id for offer, name in listed if offer.card.id != name}
    assert others == {"alias": "m0", "m1000": "m999"}
