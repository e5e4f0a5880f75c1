"""The dashboard as a picture: tests/monitoring/prometheus.sh .venv/bin/python -m tests.monitoring.picture FILE.svg

Drawn by this script, of what a real Prometheus tells of a real `inferq up echo` in some minutes of traffic, at the
places that the dashboard gives its panels. It shows what the panels tell, not how Grafana draws them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

from openai import OpenAI, OpenAIError

from tests import batches
from tests.calls import CHATS, said
from tests.monitoring.deployed import DASHBOARD
from tests.monitoring.server import Prometheus, prometheus
from tests.stack import free_port
from tests.up import up

SECONDS, STEP = 150, 2
"""How long the traffic lasts, and how far apart the points are."""
CHOSEN = {"$job": "inferq", "$model": ".+", "$__rate_interval": "20s"}
WIDTH, HEIGHT = 56, 30
"""Of a unit of the dashboard's grid, in pixels."""
COLOURS = ("#3274d9", "#e0752d", "#1f9d55", "#c4162a", "#8f3bb8", "#b5a300", "#0a9fb5", "#7a5c3e")

Series = list[tuple[str, list[tuple[float, float]]]]
"""Curves with their names; their points by time."""


def words(value: float, unit: str) -> str:
    """A number as its unit has it."""
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "bytes":
        return f"{value / 1000:.0f} kB" if value >= 1000 else f"{value:.0f} B"
    short = f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"
    return f"{short} s" if unit == "s" else short


def series(server: Prometheus, panel: dict[str, Any], start: float, end: float) -> Series:
    found: Series = []
    for target in panel["targets"]:
        query = target["expr"]
        for variable, value in CHOSEN.items():
            query = query.replace(variable, value)
        for one in server.ask_range(query, start, end, STEP):
            name = target["legendFormat"]
            for label, value in one["metric"].items():
                name = name.replace("{{" + label + "}}", value)
            points = [(float(at), float(value)) for at, value in one["values"] if float(value) < float("inf")]
            found.append((name, points))
    return [(name, points) for name, points in found if points]


def draw(panel: dict[str, Any], curves: Series, start: float, end: float) -> str:
    place, unit = panel["gridPos"], panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    x, y, w, h = (place[name] * size for name, size in (("x", WIDTH), ("y", HEIGHT), ("w", WIDTH), ("h", HEIGHT)))
    title = escape(panel["title"])
    if panel["type"] == "row":
        return f'<text x="{x + 6}" y="{y + 21}" font-size="15" font-weight="600">{title}</text>'
    parts = [f'<rect x="{x + 3}" y="{y + 3}" width="{w - 6}" height="{h - 6}" rx="3" fill="#fff" stroke="#ddd"/>']
    parts.append(f'<text x="{x + 12}" y="{y + 20}" font-size="12" font-weight="600">{title}</text>')
    if panel["type"] == "stat":
        mapped = panel["fieldConfig"]["defaults"].get("mappings", [])
        for row, (name, points) in enumerate(curves):
            value = points[-1][1]
            shown = mapped[0]["options"][f"{value:.0f}"]["text"] if mapped else words(value, unit)
            told = f"{name} {shown}" if len(curves) > 1 else shown
            size = 18 if len(curves) > 1 else 30
            parts.append(
                f'<text x="{x + 12}" y="{y + 58 + 28 * row}" font-size="{size}" fill="{COLOURS[0]}">{told}</text>'
            )
        return "".join(parts)
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    for name, points in curves:
        if stacked:
            points = [(at, below.get(at, 0) + value) for at, value in points]
            below |= dict(points)
        lines.append((name, points))
    top = max((value for _, points in lines for _, value in points), default=0) or 1
    left, right, upper, lower = x + 52, x + w - 14, y + 34, y + h - 54
    for share in (0, 0.5, 1):
        at = lower - (lower - upper) * share
        parts.append(f'<path d="M{left} {at}H{right}" stroke="#eee"/>')
        parts.append(
            f'<text x="{left - 5}" y="{at + 4}" font-size="10" text-anchor="end">{words(top * share, unit)}</text>'
        )
    for number, (name, points) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{left + (at - start) / (end - start) * (right - left):.0f},{lower - value / top * (lower - upper):.1f}"
            for at, value in points
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if number < 6:
            column, row = number % 2, number // 2
            place_x, place_y = x + 14 + column * (w - 20) / 2, y + h - 38 + row * 13
            parts.append(f'<path d="M{place_x} {place_y - 4}h10" stroke="{colour}" stroke-width="3"/>')
            parts.append(f'<text x="{place_x + 14}" y="{place_y}" font-size="10">{escape(name[: w // 14])}</text>')
    if not lines:
        parts.append(
            f'<text x="{x + w / 2}" y="{y + h / 2}" font-size="12" fill="#999" text-anchor="middle">nothing</text>'
        )
    return "".join(parts)


def picture(server: Prometheus, start: float, end: float) -> str:
    panels = DASHBOARD["panels"]
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * HEIGHT
    drawn = [draw(p, [] if p["type"] == "row" else series(server, p, start, end), start, end) for p in panels]
    box = f'viewBox="0 0 {24 * WIDTH} {high}" font-family="sans-serif" fill="#222"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    return "\n".join([head, f'<rect width="100%" height="{high}" fill="#f4f5f5"/>', *drawn, "</svg>", ""])


def make_traffic(url: str, until: float, number: int) -> None:
    draws = random.Random(number)
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        while time.time() < until:
            text = "word " * draws.randrange(5, 120)
            tier = draws.choice(("default", "default", "flex", "priority"))
            model = draws.choice(("echo",) * 20 + ("nobody",))
            try:
                client.chat.completions.create(
                    model=model,
                    messages=said(text),
                    service_tier=tier,
                    store=draws.random() < 0.3,  # type: ignore[call-overload]  # a tier is a text here
                )
            except OpenAIError:
                time.sleep(1)
            time.sleep(draws.expovariate(1.5))


def main(path: Path) -> None:
    settings = {"ECHO_RATE": "40", "ECHO_PREFILL_MS": "150", "PORT": str(free_port())}
    environ = {f"INFERQ_{name}": value for name, value in settings.items()}
    with tempfile.TemporaryDirectory() as folder, up(Path(folder) / "data", "echo", **environ) as inferq:
        url = inferq.ready()
        with prometheus(Path(folder) / "prometheus", url.removeprefix("http://"), "none") as server:
            start = time.time()
            with ThreadPoolExecutor(8) as pool, OpenAI(base_url=f"{url}/v1", api_key="any") as client:
                for number in range(8):
                    pool.submit(make_traffic, url, start + SECONDS, number)
                time.sleep(SECONDS / 3)
                batches.begin(client, [batches.request(f"line-{n}", "word " * 40) for n in range(60)], CHATS)
                time.sleep(SECONDS / 4)
                os.kill(inferq.child("worker"), signal.SIGKILL)
            path.write_text(picture(server, start, time.time()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
