"""/v1/uploads: a file that comes in parts."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway import forms, uploads
from gateway.answers import as_json
from gateway.api.body import read_body, read_creation
from gateway.api.files import file_object
from gateway.archive.thing import Thing
from gateway.auth import owner
from gateway.creations import Creation
from gateway.openapi.operation import operation
from gateway.openapi.parameters import COMING_AGAIN
from gateway.schemas.files import PART_FORM, PARTS, UPLOAD, render_part, render_upload
from gateway.state import this_gateway

views = Blueprint("uploads", __name__)

_UPLOAD = {"filename": "requests.jsonl", "purpose": "batch", "bytes": 2048, "mime_type": "application/jsonl"}


@views.post("/uploads")
@operation("createUpload", body=UPLOAD, example=_UPLOAD, parameters=[COMING_AGAIN])
def create() -> ResponseReturnValue:
    """Begin a file that comes in parts."""
    return _told(uploads.create(*read_creation(UPLOAD)), None)


@views.post("/uploads/<upload_id>/parts")
@operation("addUploadPart", form=PART_FORM, example={"data": "@part.bin"}, parameters=[COMING_AGAIN])
def add_part(upload_id: str) -> ResponseReturnValue:
    """Store a part of a file."""
    upload = uploads.find(owner().name, upload_id)
    most = min(uploads.LARGEST_PART, this_gateway().config.max_file_bytes)
    with forms.received(request, owner().name, "data", (), most) as form:
        creation = Creation(owner().name, request.path, request.headers)
        part = uploads.add_part(upload, form, creation)
    return as_json(render_part(part.id, part.created, upload_id))


@views.post("/uploads/<upload_id>/complete")
@operation("completeUpload", body=PARTS, example={"part_ids": ["part_1", "part_2"]})
def complete(upload_id: str) -> ResponseReturnValue:
    """Make a file of its parts."""
    return _told(*uploads.complete(owner().name, upload_id, read_body(PARTS)))


@views.post("/uploads/<upload_id>/cancel")
@operation("cancelUpload")
def cancel(upload_id: str) -> ResponseReturnValue:
    """Give up a file that comes in parts.

    The body is empty, or asks for nothing.
    """
    return _told(uploads.cancel(owner().name, upload_id), None)


def _told(upload: Thing, file: Thing | None) -> ResponseReturnValue:
    told = file_object(file) if file else None
    return as_json(render_upload(upload.id, upload.created, upload.expires, upload.facts, told))
