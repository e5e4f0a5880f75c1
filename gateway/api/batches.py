"""/v1/batches: many requests in one file, answered when nobody else is in a hurry."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.answers import as_json
from gateway.api.body import read_creation
from gateway.archive.thing import Thing
from gateway.auth import owner
from gateway.batches import book
from gateway.batches.batch import Batch
from gateway.openapi.operation import operation
from gateway.openapi.parameters import COMING_AGAIN, paging
from gateway.schemas.batches import BATCH, render_batch
from gateway.schemas.lists import read_paging, render_list
from gateway.state import this_gateway

views = Blueprint("batches", __name__)

_ASKED = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


@views.post("/batches")
@operation("createBatch", body=BATCH, example=_ASKED, parameters=[COMING_AGAIN])
def create() -> ResponseReturnValue:
    """Begin a batch: the requests in a file are answered as there is time for them."""
    begun = book.create(*read_creation(BATCH))
    this_gateway().feeder.hurry()
    return as_json(_told(begun))


@views.get("/batches")
@operation("listBatches", parameters=paging())
def list_all() -> ResponseReturnValue:
    """List the batches."""
    page = book.page(owner().name, read_paging(request.args))
    told = this_gateway().archive.tell_each(page.things, _told)
    return as_json(render_list([*told], more=page.more))


@views.get("/batches/<batch_id>")
@operation("retrieveBatch")
def retrieve(batch_id: str) -> ResponseReturnValue:
    """Tell how far a batch is."""
    return as_json(_told(book.find(owner().name, batch_id)))


@views.post("/batches/<batch_id>/cancel")
@operation("cancelBatch")
def cancel(batch_id: str) -> ResponseReturnValue:
    """End a batch: what is done stays, the rest is not.

    The body is empty, or asks for nothing.
    """
    cancelled = book.cancel(owner().name, batch_id)
    this_gateway().feeder.hurry()
    return as_json(_told(cancelled))


def _told(thing: Thing) -> dict[str, object]:
    return render_batch(thing.id, thing.created, Batch.of(thing))
