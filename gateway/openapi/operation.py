"""What is said of an operation where it is served, beside what its schemas say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.schemas.format import Format
from gateway.schemas.objects import Strict

View = TypeVar("View", bound=Callable[..., Any])
Parameter = Mapping[str, Any]
"""One of a query or of the headers, in OpenAPI's words."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path; the docstring of its view says what it does."""

    id: str
    """By which clients that are generated call it, as OpenAI's do."""
    at: str
    """The method and the path, such as `GET /ping`, where the view has several; else empty."""
    formats: Sequence[Format]
    """In which it is asked and answered, any of them."""
    body: Strict | None
    form: Mapping[str, Any] | None
    """The JSON Schema of its form."""
    parameters: Sequence[Parameter]
    media: Sequence[str]
    """Content types of its answer."""
    status: int
    example: Mapping[str, Any] | None
    """A body, or the fields of a form as curl has them."""

    @property
    def bodies(self) -> list[tuple[Strict, str]]:
        """The schemas of what it takes as JSON, any of them, each with the name of its format, if it has one."""
        return [*((wire.schema, wire.name) for wire in self.formats), *([(self.body, "")] if self.body else [])]


def operation(
    identity: str,
    *,
    at: str = "",
    formats: Sequence[Format] = (),
    body: Strict | None = None,
    form: Mapping[str, Any] | None = None,
    parameters: Sequence[Parameter] = (),
    media: Sequence[str] = ("application/json",),
    status: int = 200,
    example: Mapping[str, Any] | None = None,
) -> Callable[[View], View]:
    """Say so of a view; for each see `Operation`."""
    said = Operation(identity, at, formats, body, form, parameters, media, status, example)

    def note(view: View) -> View:
        view.__dict__.setdefault("operations", []).append(said)
        return view

    return note


def of(view: Callable[..., Any], method: str, path: str) -> Operation | None:
    """What was said of this method of this path, which the view serves."""
    said: list[Operation] = getattr(view, "operations", [])
    return next((one for one in said if one.at in ("", f"{method} {path}")), None)
