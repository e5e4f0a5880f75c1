"""Batches of a running gateway, over OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from inferq.errors import GatewayAway, GatewayError
from inferq.tools.gateway import base_url, refusal_reason

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_AGAIN = (429, 500, 502, 503, 504)
"""What a gateway answers that may answer otherwise later."""
_PIECE = 1_048_576


class BatchClient:
    """Of one gateway. Raises GatewayError, and of it GatewayAway where it may be asked again."""

    def __init__(self, url: str, api_key: str | None, on_away: Callable[[], object] = lambda: None) -> None:
        """`on_away` is called when it does not answer, and raises where that will stay so."""
        self.url = url
        self._on_away = on_away
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx2.Client(base_url=base_url(url), headers=headers, timeout=_TIMEOUT, trust_env=False)

    def store(self, path: Path) -> str:
        """The id of a file of requests."""
        with path.open("rb") as file:
            form = {"file": (path.with_suffix(".jsonl").name, file, "application/jsonl")}
            return str(self._ask("POST", "/files", data={"purpose": "batch"}, files=form)["id"])

    def create(self, file_id: str, endpoint: str, window: str) -> dict[str, Any]:
        """The one batch of that file, however often this asks for it."""
        asked = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": window}
        return self._ask("POST", "/batches", json=asked, headers={"Idempotency-Key": file_id})

    def get(self, batch_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/batches/{batch_id}")

    def cancel(self, batch_id: str) -> dict[str, Any]:
        return self._ask("POST", f"/batches/{batch_id}/cancel")

    def list(self, limit: int) -> list[dict[str, Any]]:
        """The latest first."""
        found: list[dict[str, Any]] = self._ask("GET", "/batches", params={"limit": limit})["data"]
        return found

    def download(self, file_id: str, target: Path) -> None:
        with self._watched(), self._http.stream("GET", f"/files/{file_id}/content") as answer:
            if answer.is_error:
                answer.read()
                raise self._refusal(answer)
            with target.open("wb") as file:
                for piece in answer.iter_bytes(_PIECE):
                    file.write(piece)

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        with self._watched():
            answer = self._http.request(method, path, **more)
            if answer.is_error:
                raise self._refusal(answer)
            found: dict[str, Any] = answer.json()
            return found

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as exc:
            self._on_away()
            raise GatewayAway(f"{self.url}: {exc or type(exc).__name__}") from exc
        except (httpx2.HTTPError, ValueError) as exc:
            raise GatewayError(f"{self.url}: {exc or type(exc).__name__}") from exc

    def _refusal(self, answer: httpx2.Response) -> GatewayError:
        reason = refusal_reason(answer.content, f"{answer.status_code} {answer.reason_phrase}")
        kind = GatewayAway if answer.status_code in _AGAIN else GatewayError
        return kind(f"{self.url}: {reason}")
