"""A real Prometheus with what `deploy/prometheus` has, in a hurry."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.monitoring.deployed import PROMETHEUS
from tests.stack import free_port, wait_for

STEP = 1.0
"""Seconds between two scrapes, and after which an alert fires."""


class Prometheus:
    """Scrapes one gateway with a key."""

    def __init__(self, folder: Path, gateway: str, key: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.key = folder / "key"
        deploy(folder, gateway, key)
        hurry = folder / "prometheus.yml"
        hurry.write_text(re.sub(r"_interval: 15s", f"_interval: {STEP:g}s", hurry.read_text()))
        alerts = folder / "alerts.yml"
        alerts.write_text(re.sub(r"for: \d+[ms]$", f"for: {STEP:g}s", alerts.read_text(), flags=re.M))
        log = (folder / "log").open("wb")
        options = [f"--config.file={hurry}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        self.process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address={self.url.removeprefix('http://')}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_for(self._answers, f"Prometheus's answer; its log is {folder / 'log'}")

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What a query tells of now: series with `metric` and `value`. Fails where it is not understood."""
        found: list[dict[str, Any]] = self._get("query", query=query)["result"]
        return found

    def ask_range(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The same over a time: series with `metric` and `values`."""
        found: list[dict[str, Any]] = self._get("query_range", query=query, start=start, end=end, step=step)["result"]
        return found

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, and the model of each, if it has one."""
        labels = [alert["labels"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]
        return {(label["alertname"], label.get("model", "")) for label in labels}

    def target(self) -> dict[str, Any]:
        """The scrape's health."""
        [target] = self._get("targets")["activeTargets"] or [{}]
        return dict(target)

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **query: str | float) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=query, timeout=20)
        told = answer.json()
        assert told["status"] == "success", (query, told)
        return told["data"]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def deploy(folder: Path, gateway: str, key: str) -> None:
    """What docs/monitoring.md has people do."""
    shutil.copytree(PROMETHEUS, folder, dirs_exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(config.read_text().replace("gateway:8000", gateway))
    (folder / "key").write_text(key)


@contextmanager
def prometheus(folder: Path, gateway: str, key: str) -> Iterator[Prometheus]:
    server = Prometheus(folder, gateway, key)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
