"""A response as it comes, in OpenAI's events: each has its name, says it again as its type, and has a number.

The numbers count what the job's events alone make, so that whoever tells the same job again counts alike, and a client
that was cut off goes on after the last one that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_never

from gateway.schemas.format import PAUSE, Frame, Frames
from gateway.schemas.openai import encode
from gateway.schemas.responses.answer import begun, ended, respond
from gateway.schemas.responses.output import MESSAGE, SUMMARY, BegunItem, EndedItem, GrownItem, Output, OutputItem, Step
from shared.protocol import Accepted, Delta, Done, Event, Failed, Progress, StartOver, Told

_ENDS = {"completed": "completed", "incomplete": "incomplete", "failed": "failed", "cancelled": "failed"}
"""The last event, by the status: OpenAI has none for a response that was cancelled."""


class ResponseStream:
    """The frames of one stream."""

    def __init__(self, job_id: str, accepted: Accepted) -> None:
        self._job_id, self._accepted = job_id, accepted
        self._output = Output(job_id, accepted)
        self._number = 0
        """Of the next event."""
        self._opened = self._runs = False

    def frames(self, event: Event) -> Iterator[Frame]:
        before = self._number
        yield from self._open()
        if not (self._runs or event is PAUSE or isinstance(event, Failed)):
            yield self._start()
        match event:
            case Delta() if event is PAUSE:
                if before == self._number:
                    yield self._pulse()
            case Delta():
                for step in self._output.take(event):
                    yield from self._tell_step(step)
            case Done() | Failed():
                for step in self._output.cut():
                    yield from self._tell_step(step)
                status = ended(self._accepted, event, self._output.reason)
                whole = respond(self._job_id, self._accepted, self._output.items(), status)
                yield self._tell(f"response.{_ENDS[status.name]}", response=whole)
            case Progress() | StartOver():  # a record that was begun anew begins with the latter
                pass
            case Told():
                raise AssertionError("these are no parts of a text")
            case _:
                assert_never(event)

    def _open(self) -> Iterator[Frame]:
        """The first events: whatever comes first of the job, or nothing for long, they are the same."""
        if not self._opened:
            self._opened = True
            yield self._tell_state("created")
            yield self._tell_state("queued") if self._accepted.options.background else self._start()

    def _start(self) -> Frame:
        self._runs = True
        return self._tell_state("in_progress")

    def _pulse(self) -> Frame:
        """A sign of life: the last state once more, under the number of what was told last."""
        self._number -= 1
        return self._tell_state("in_progress" if self._runs else "queued")._replace(counts=False)

    def _tell_state(self, name: str) -> Frame:
        status = begun(self._accepted, waits=not self._runs)
        return self._tell(f"response.{name}", response=respond(self._job_id, self._accepted, [], status))

    def _tell_step(self, step: Step) -> Iterator[Frame]:
        item, kind = step.item, step.item.kind
        place = {"item_id": item.id, "output_index": item.place}
        within = {**place, kind.part_index: 0} if kind.part else place
        match step:
            case BegunItem():
                yield self._tell("response.output_item.added", output_index=item.place, item=item.begun())
                if kind.part:
                    yield self._tell(f"response.{kind.part_event}.added", **within, part=item.part("", []))
            case GrownItem(text=text, logprobs=logprobs):
                scored = {"logprobs": logprobs} if kind is MESSAGE else {}
                yield self._tell(f"response.{kind.event}.delta", **within, delta=text, **scored)
            case EndedItem(text=text, part=part, told=told):
                yield self._tell(f"response.{kind.event}.done", **within, **{kind.whole: text}, **_beside(step, item))
                if kind.part:
                    cut = {"status": "incomplete"} if kind is SUMMARY and told["status"] == "incomplete" else {}
                    yield self._tell(f"response.{kind.part_event}.done", **within, part=part, **cut)
                yield self._tell("response.output_item.done", output_index=item.place, item=told)
            case _:
                assert_never(step)

    def _tell(self, kind: str, /, **more: Any) -> Frame:
        number, self._number = self._number, self._number + 1
        return Frame(encode({"type": kind, "sequence_number": number, **more}), kind)


def frames_after(frames: Frames, number: int) -> Frames:
    """The frames of a stream without those up to this number, which its client has."""
    left = number + 1

    def rest(event: Event) -> Iterator[Frame]:
        nonlocal left
        for frame in frames(event):
            if left and frame.counts:
                left -= 1
            else:
                yield frame

    return rest


def _beside(step: EndedItem, item: OutputItem) -> dict[str, Any]:
    """What the event of a text's end tells beside it."""
    if item.kind is MESSAGE:
        return {"logprobs": step.logprobs}
    return {"name": item.call.name} if item.call and not item.call.custom else {}
