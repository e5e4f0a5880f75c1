"""What `deploy/` asks Prometheus for is what gateways tell, and the docs know it. `make monitoring` asks a real one."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
import yaml

from gateway.access import PROBES
from gateway.schemas.outcomes import outcome
from shared.config import Config
from tests.monitoring.deployed import ALERTS, DASHBOARD, PANELS, PROMETHEUS, QUERIES, ROOT, made, named, samples

PAGE = (ROOT / "docs/monitoring.md").read_text()
ASKED = " ".join([*QUERIES, *(rule["expr"] for rule in ALERTS)])
OTHERS = {"completed", "cancelled", "accepted", "client_gone", "stored", "refused", "failed"}
"""Outcomes that are no error's code."""


def test_what_is_deployed_names_what_there_is() -> None:
    assert len(samples()) > 30
    assert len(named(ASKED)) > 20
    texts = [path.read_text() for folder in (PROMETHEUS, ROOT / "deploy/grafana") for path in folder.iterdir()]
    assert named(" ".join([ASKED, *texts])) <= samples()


def test_the_docs_name_each_metric_and_no_other() -> None:
    assert made().keys() <= named(PAGE) <= made().keys() | samples()


def test_the_docs_name_each_loop() -> None:
    """They label metrics."""
    starts = re.compile(r'loops\.start\(\s*"(\w+)"')
    paths = [ROOT / "shared/heap.py", *(ROOT / "gateway").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]
    loops = {name for path in paths for name in starts.findall(path.read_text())}
    assert len(loops) > 10
    assert not [name for name in loops if f"`{name}`" not in PAGE]


def test_the_docs_name_each_alert_and_its_severity() -> None:
    rows = set(re.findall(r"^\| `(Inferq\w+)` \| (\w+) \| .+ \|$", PAGE, re.M))
    assert rows == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}
    assert {severity for _, severity in rows} == {"critical", "warning", "info"}
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in ALERTS)


def test_outcomes_and_settings_are_there() -> None:
    told = {word for words in re.findall(r'outcome!?[=~]+"([^"]+)"', ASKED) for word in words.split("|")}
    codes = re.findall(r"^\| `(\w+)` \| \d{3} \|", (ROOT / "docs/api.md").read_text(), re.M)
    assert told <= {*codes, *OTHERS}
    [failing] = [rule["expr"] for rule in ALERTS if rule["alert"] == "InferqJobsFailing"]
    [blamed] = re.findall(r'outcome=~"([^"]+)"', failing)
    assert [code for code in blamed.split("|") if outcome(code).status < 500] == []
    settings = set(re.findall(r"INFERQ_([A-Z_]+)", (PROMETHEUS / "alerts.yml").read_text()))
    assert settings
    assert all(hasattr(Config(), name.lower()) for name in settings)


def test_the_dashboard_passes_over_probes() -> None:
    [probes] = set(re.findall(r'endpoint!~"([^"]+)"', ASKED))
    assert set(probes.split("|")) == PROBES


def test_the_dashboard_is_in_order() -> None:
    """No panel hides another one, and each says what it shows."""
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        assert any(
            first[axis] + first[size] <= second[axis]
            for first, second in ((one, other), (other, one))
            for axis, size in (("x", "w"), ("y", "h"))
        ), (one, other)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(part["datasource"] == chosen for part in (panel, *panel["targets"]))


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_what_compose_mounts_is_there(service: str) -> None:
    told = yaml.safe_load((ROOT / "deploy/compose.monitoring.yml").read_text())["services"][service]
    mounted = [volume.split(":")[0] for volume in told["volumes"] if volume.startswith("./")]
    assert len(mounted) >= 2
    assert all((ROOT / path).is_file() for path in mounted)
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", told["image"])
