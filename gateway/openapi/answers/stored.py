"""What is stored by name: files, uploads, batches."""

from __future__ import annotations

from gateway.batches.batch import BatchStatus
from gateway.openapi.answers.shapes import (
    COUNT,
    SECONDS,
    TEXT,
    Answered,
    Answers,
    JsonSchema,
    array,
    deleted,
    nullable,
    page,
    record,
    ref,
    table,
    word,
)

_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
_USAGE = record(
    input_tokens=COUNT,
    input_tokens_details=record(cached_tokens=COUNT),
    output_tokens=COUNT,
    output_tokens_details=record(reasoning_tokens=COUNT),
    total_tokens=COUNT,
)
_MISTAKE = record(code=TEXT, message=TEXT, param=nullable(TEXT), line=nullable(COUNT))
SHAPES: dict[str, JsonSchema] = {
    "File": record(
        {"expires_at": SECONDS},
        id=TEXT,
        object=word("file"),
        bytes=COUNT,
        created_at=SECONDS,
        filename=TEXT,
        purpose=TEXT,
        status=word("processed"),
    ),
    "Upload": record(
        id=TEXT,
        object=word("upload"),
        bytes=COUNT,
        created_at=SECONDS,
        expires_at=SECONDS,
        filename=TEXT,
        purpose=TEXT,
        status=word("pending", "completed", "cancelled"),
        file=nullable(ref("File")),
    ),
    "Batch": record(
        id=TEXT,
        object=word("batch"),
        endpoint=TEXT,
        errors=nullable(record(object=word("list"), data=array(_MISTAKE))),
        input_file_id=TEXT,
        completion_window=TEXT,
        status=word(*BatchStatus),
        output_file_id=nullable(TEXT),
        error_file_id=nullable(TEXT),
        created_at=SECONDS,
        expires_at=SECONDS,
        request_counts=record(total=COUNT, completed=COUNT, failed=COUNT),
        metadata=nullable(table(TEXT)),
        model=nullable(TEXT),
        usage=_USAGE,
        **{f"{time}_at": nullable(SECONDS) for time in _TIMES},
    ),
}
_FILE, _UPLOAD, _BATCH = "/v1/files/{file_id}", "/v1/uploads/{upload_id}", "/v1/batches/{batch_id}"
ANSWERS: Answers = {
    ("POST", "/v1/files"): Answered(ref("File")),
    ("GET", "/v1/files"): Answered(page(ref("File"))),
    ("GET", _FILE): Answered(ref("File")),
    ("DELETE", _FILE): Answered(deleted("file")),
    ("GET", f"{_FILE}/content"): Answered(TEXT, beside={304: None}),
    ("POST", "/v1/uploads"): Answered(ref("Upload")),
    ("POST", f"{_UPLOAD}/parts"): Answered(
        record(id=TEXT, object=word("upload.part"), created_at=SECONDS, upload_id=TEXT)
    ),
    ("POST", f"{_UPLOAD}/complete"): Answered(ref("Upload")),
    ("POST", f"{_UPLOAD}/cancel"): Answered(ref("Upload")),
    ("POST", "/v1/batches"): Answered(ref("Batch")),
    ("GET", "/v1/batches"): Answered(page(ref("Batch"))),
    ("GET", _BATCH): Answered(ref("Batch")),
    ("POST", f"{_BATCH}/cancel"): Answered(ref("Batch")),
}
