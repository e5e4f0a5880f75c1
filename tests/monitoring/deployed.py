"""What `deploy/` has for Prometheus and Grafana, and which metrics the gateways make."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/inferq.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
QUERIES: list[str] = [target["expr"] for panel in PANELS for target in panel["targets"]]

_MADE = re.compile(r'\b(Counter|Gauge|Histogram|Summary)(?:MetricFamily)?\(\s*"(inferq_\w+)"')
_SAMPLES = {
    "Counter": ("_total",),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_sum", "_count"),
    "Summary": ("_sum", "_count"),
}


def made() -> dict[str, set[str]]:
    """The metrics of gateways, as the docs call them, and what each is scraped as."""
    found = [match for path in (ROOT / "gateway").rglob("*.py") for match in _MADE.findall(path.read_text())]
    return {name + "_total" * (kind == "Counter"): {name + end for end in _SAMPLES[kind]} for kind, name in found}


def samples() -> set[str]:
    return set().union(*made().values())


def named(text: str) -> set[str]:
    """The metrics that a text speaks of."""
    return set(re.findall(r"\binferq_[a-z_]+", text))
