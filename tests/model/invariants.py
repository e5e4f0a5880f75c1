"""What must hold whatever the model says: of one picture of Redis, and of how it became the next."""

from __future__ import annotations

from typing import Any

from tests.model.picture import Picture

FINAL = ("completed", "failed", "cancelled")
ENDERS = ("cancel", "remove", "release_stored")
"""What ends a job that somebody was promised: its client asks for it, or it is known to have ended before."""


def check(before: Picture, after: Picture, command: str) -> None:
    """Raises AssertionError."""
    for key, (_, ends, ticket) in after.items():
        if not key.startswith("iq:job:"):
            continue
        job_id = key.removeprefix("iq:job:")
        _one_place(after, job_id, ticket, ends)
        if key in before:
            _onwards(before, after, job_id, command)


def _one_place(picture: Picture, job_id: str, ticket: dict[str, Any], ends: bool) -> None:
    """It is in one state, and listed as that says."""
    state, model = ticket["state"], ticket["model"]
    places = [
        *("queued" for _ in _index(picture, f"iq:deadlines:{model}", job_id)),
        *("in_progress" for _ in _index(picture, f"iq:leases:{model}", job_id)),
    ]
    assert places == ([] if state in FINAL else [state]), f"{job_id} is {state}, and listed as {places}"
    waits = ticket["place"] in _value(picture, f"iq:waiting:{model}")
    assert waits == (state == "queued"), f"{job_id} is {state}, and {'has a' if waits else 'no'} place in the queue"
    running = [f"{job_id}:{ticket['exec']}"] if state == "in_progress" else []
    wip = [member for member in _value(picture, f"rq:wip:{model}") if member.startswith(f"{job_id}:")]
    assert wip == running, f"{job_id} is {state}, and RQ shows {wip}"
    unarchived = job_id in _value(picture, "iq:unarchived")
    assert ends == (state in FINAL and not unarchived), (
        f"{job_id} is {state}, and has {'a' if ends else 'no'} time to live"
    )
    assert state == "in_progress" or state in FINAL or ticket["cancel"] == "0", f"{job_id} waits, and is cancelled"


def _index(picture: Picture, key: str, job_id: str) -> list[str]:
    return [member for member in _value(picture, key) if member == job_id]


def _value(picture: Picture, key: str) -> Any:
    return picture[key][2] if key in picture else []


def _record(picture: Picture, job_id: str) -> list[Any]:
    """After its head."""
    return [entry for entry in _value(picture, f"iq:events:{job_id}") if entry[0] != "0-1"]


def _onwards(before: Picture, after: Picture, job_id: str, command: str) -> None:
    """What was there is there still, and what came came from who might."""
    was, now = before[f"iq:job:{job_id}"][2], after[f"iq:job:{job_id}"][2]
    had, has = _record(before, job_id), _record(after, job_id)
    if was.get("deserted") and now["state"] == "queued":
        return  # it was cancelled for want of a client, and is put back by one
    if was["state"] in FINAL:
        # by who joins it, leaves, asks for its end, has stored it
        told = dict.fromkeys(("joined", "deserted", "orphan", "waiting", "bytes", "removed"), "")
        assert {**was, **told} == {**now, **told}, f"{job_id} was final, and changed"
        assert had == has, f"the record of {job_id} was whole, and changed"
        return
    if command == "restart" and was["exec"] and now["state"] == "queued":
        assert "parts" not in was, f"{job_id} started over although somebody reads it"
        had = []
    assert has[: len(had)] == had, f"{job_id} lost events that were acknowledged"
    for _, entry in has[len(had) :]:
        assert entry["x"] in (was["exec"], "0"), f"{entry['x']} wrote to {job_id} of {was['exec']}"
    if now["state"] == "cancelled" and "kept" in was and was["cancel"] == "0":
        assert command in (*ENDERS, "append"), f"{job_id} was promised to somebody, and {command} cancelled it"
    if "kept" in was and now["cancel"] > was["cancel"]:
        assert command in ENDERS, f"{job_id} was promised to somebody, and {command} cancelled it"
