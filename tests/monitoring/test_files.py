"""The files as Prometheus's own tool and Grafana's own types judge them."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.monitoring.deployed import DASHBOARD, PANELS, ROOT
from tests.monitoring.server import deploy

GRAFANA = ("@grafana/schema@12.4.11", "typescript@5.9.3")
_OF_PROMETHEUS = ("titleFormat", "tagKeys")
"""Words of an annotation that Grafana leaves to its Prometheus plugin, as all in its query."""


def run(*command: str | Path, folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_the_alerts_are_understood(tmp_path: Path) -> None:
    deploy(tmp_path, "127.0.0.1:8000", "sk-prometheus-0123456789")
    run("promtool", "check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.yml")


def test_alerts_fire_when_they_should() -> None:
    run("promtool", "test", "rules", "tests/monitoring/alerts.test.yml")


@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm, which fetches Grafana's types")
def test_the_dashboard_is_of_grafanas_types() -> None:
    folder = ROOT / "build/grafana"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text("{}")
    run(
        "npm",
        "install",
        "--silent",
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        *GRAFANA,
        folder=folder,
    )
    whole = copy.deepcopy(DASHBOARD)
    for annotation in whole["annotations"]["list"]:
        del annotation["target"]["expr"]
        for word in _OF_PROMETHEUS:
            del annotation[word]
    charts = {
        kind: [
            {"options": panel["options"], "custom": panel["fieldConfig"]["defaults"].get("custom", {})}
            for panel in PANELS
            if panel["type"] == kind
        ]
        for kind in ("timeseries", "stat")
    }
    assert sum(map(len, charts.values())) == len(PANELS)
    constants = {
        "whole": ("Whole", whole),
        "curves": ("Curves", charts["timeseries"]),
        "stats": ("Stats", charts["stat"]),
    }
    lines = [f"const {name}: {kind} = {json.dumps(value, indent=1)};" for name, (kind, value) in constants.items()]
    types = (ROOT / "tests/monitoring/schema.ts").read_text()
    (folder / "check.ts").write_text("\n".join([types, *lines]))
    options = ("--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "node10", "--module", "esnext")
    run("node_modules/.bin/tsc", *options, "--target", "es2022", "check.ts", folder=folder)
