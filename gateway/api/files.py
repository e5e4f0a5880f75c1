"""/v1/files: store a file, list, retrieve and delete them, read one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from gateway import files, forms
from gateway.answers import as_json
from gateway.archive.thing import Thing, ThingKind
from gateway.auth import owner
from gateway.creations import Creation
from gateway.openapi.operation import operation
from gateway.openapi.parameters import COMING_AGAIN, PURPOSE, RANGE, paging
from gateway.places import Places
from gateway.schemas.files import FIELDS, FORM, content_headers, read_purpose, read_range, render_file
from gateway.schemas.lists import read_paging, render_list
from gateway.state import this_gateway

views = Blueprint("files", __name__)

MOST_LISTED = 10_000
"""Files of one page of their list."""
MOST_READERS = 256
"""Files that a process sends at one time; of each it holds a piece."""
MOST_KEY_READERS = 64
"""Those to one API key."""

_readers = Places("files are being sent")


@views.post("/files")
@operation("createFile", form=FORM, example={"file": "@requests.jsonl", "purpose": "batch"}, parameters=[COMING_AGAIN])
def create() -> ResponseReturnValue:
    """Store a file."""
    most = this_gateway().config.max_file_bytes
    with forms.received(request, owner().name, "file", FIELDS, most) as form:
        creation = Creation(owner().name, request.path, request.headers)
        return as_json(file_object(files.create(form, creation)))


@views.get("/files")
@operation("listFiles", parameters=[*paging(MOST_LISTED, MOST_LISTED), PURPOSE])
def list_all() -> ResponseReturnValue:
    """List the files that are stored."""
    paging = read_paging(request.args, usual=MOST_LISTED, most=MOST_LISTED)
    page = files.page(owner().name, paging, read_purpose(request.args))
    told = this_gateway().archive.tell_each(page.things, file_object)
    return as_json(render_list([*told], more=page.more))


@views.get("/files/<file_id>")
@operation("retrieveFile")
def retrieve(file_id: str) -> ResponseReturnValue:
    """Tell what is known of a file."""
    return as_json(file_object(files.find(owner().name, file_id)))


@views.delete("/files/<file_id>")
@operation("deleteFile")
def delete(file_id: str) -> ResponseReturnValue:
    """Remove a file."""
    this_gateway().archive.remove(owner().name, ThingKind.FILE, file_id)
    return as_json({"id": file_id, "object": "file", "deleted": True})


@views.get("/files/<file_id>/content")
@operation("downloadFile", parameters=[RANGE], media=("application/octet-stream",))
def content(file_id: str) -> ResponseReturnValue:
    """Send the bytes of a file, or a range of them."""
    file = files.find(owner().name, file_id)
    mark, size = f'"{file.id}"', file.facts["bytes"]
    headers = {**content_headers(file.facts["filename"], file.facts["kind"]), "Accept-Ranges": "bytes", "ETag": mark}
    if request.if_none_match.contains(file.id):
        return Response(status=304, headers=headers)
    wanted = request.headers.get("Range", "") if request.headers.get("If-Range", mark) == mark else ""
    part = read_range(wanted, size)
    if part is None:
        return _send(file, 0, size, 200, headers)
    if part.start >= part.stop:
        raise RequestedRangeNotSatisfiable(length=size)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return _send(file, part.start, part.stop, 206, headers)


def _send(file: Thing, start: int, end: int, status: int, headers: Mapping[str, str]) -> Response:
    with ExitStack() as held:
        held.enter_context(_readers.taken(file.owner, MOST_READERS, MOST_KEY_READERS))
        pieces = this_gateway().archive.read(file, start, end)
        first = next(pieces, b"")  # so that what is not there is told before the answer begins
        response = Response(chain([first], pieces), status, {**headers, "Content-Length": str(end - start)})
        response.call_on_close(held.pop_all().close)
    return response


def file_object(file: Thing) -> dict[str, object]:
    return render_file(file.id, file.created, file.expires, file.facts)
