"""What was found, as tables of text and as an object."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inferq.bench.answers import TimedAnswer
from inferq.bench.bursts import Bench, Burst, Case
from inferq.bench.machine import describe, spread

_FIGURES = {
    "first_token": ("first token", " s"),
    "slowest_first_token": ("slowest first token", " s"),
    "tokens_per_second": ("tokens/s of each", ""),
    "tokens_per_second_together": ("tokens/s together", ""),
    "gap_p95": ("gap p95", " ms"),
    "worst_gap": ("worst gap", " ms"),
}
_FRACTIONS = (100, 10, 1)
"""A number has a digit of a fraction more below each of these, milliseconds below the first."""


@dataclass(frozen=True, slots=True)
class FoundTable:
    """`rows` are of as many cells as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


class Findings:
    """Of one bench, whether it came to its end or not."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._names = [contender.name for contender in bench.contenders]

    @property
    def failed(self) -> int:
        return sum(len(burst.failures) for burst in self._bench.bursts)

    def tables(self) -> list[FoundTable]:
        """One for each length of prompts; with two servers also the ratios of the second one to the first."""
        return [self._table(prompt) for prompt in self._bench.plan.prompt_tokens if self._of(prompt)]

    def lines(self) -> Iterator[str]:
        """What is to be known of the figures."""
        plan, bursts = self._bench.plan, self._bench.bursts
        yield f"clients on {describe('inferq', 'httpx2')}"
        for number, contender in enumerate(self._bench.contenders):
            answers = _answers([burst for burst in bursts if burst.contender == number])
            asked = "chats" if contender.form.chat else "completions"
            said = " ".join(filter(None, (contender.software, *sorted({answer.build for answer in answers}))))
            software = f" by {said}" if said else ""
            counted = " and ".join(sorted({answer.counted for answer in answers})) or "nothing"
            mark = f"{number + 1}: " if len(self._names) > 1 else ""
            yield f"{mark}{contender.name}: {contender.model}, {asked}{software}; tokens counted by {counted}" + (
                ", which may hold several each" if "chunks" in counted else ""
            )
            tokens = [answer.tokens for answer in answers]
            if tokens and statistics.median(tokens) < plan.tokens:
                yield f"{contender.name}: answers end by themselves after {spread(tokens, '', 0)} tokens"
        rounds = f"medians of {plan.rounds} round{'s' * (plan.rounds > 1)} (least to most)"
        how = "all prompts begin alike" if plan.cached else "no two prompts begin alike"
        yield f"{rounds}, {plan.tokens} tokens an answer; {how}; clients begin at one time, each with one request"
        missing = plan.rounds * len(plan.cases) * len(self._names) - len(bursts)
        if missing:
            yield f"{missing} of {missing + len(bursts)} bursts were not begun any more"
        for number, name in enumerate(self._names):
            failures = Counter(each for burst in bursts if burst.contender == number for each in burst.failures)
            for reason, count in failures.most_common(5):
                yield f"{name}: {count} failed: {reason}"

    def as_object(self) -> dict[str, Any]:
        """Times in seconds."""
        plan = self._bench.plan
        return {
            "machine": describe("inferq", "httpx2"),
            "tokens": plan.tokens,
            "rounds": plan.rounds,
            "cached": plan.cached,
            "servers": [
                {"name": each.name, "model": each.model, "path": each.form.path, "software": each.software}
                for each in self._bench.contenders
            ],
            "results": [
                self._object(*case, number)
                for case in plan.cases
                for number in range(len(self._names))
                if self._of(*case, number)
            ],
            "failed": self.failed,
        }

    def _of(self, *wanted: int) -> list[Burst]:
        """The bursts of that length of prompts, number of clients, and server; as many of these as are given."""
        return [burst for burst in self._bench.bursts if (*burst.case, burst.contender)[: len(wanted)] == wanted]

    def _table(self, prompt: int) -> FoundTable:
        clients = [count for count in self._bench.plan.clients if self._of(prompt, count)]
        several = len(self._names) > 1
        rows = []

        def add(title: str, server: str, cells: list[str]) -> None:
            rows.append([title, *([server] if several else []), *cells])

        for name, (title, unit) in _FIGURES.items():
            for number in range(len(self._names)):
                found = [_by_figure(self._of(prompt, count, number)) for count in clients]
                add("" if number else title, f"{number + 1}", [_shown(each.get(name, []), unit) for each in found])
            if several:
                ratios = [self._ratios((prompt, count)).get(name, []) for count in clients]
                add("", "2/1", [spread(each) if each else "-" for each in ratios])
        for title, tell in (("prompt", _prompt), ("of it cached", _cached), ("failed", _failed)):
            for number in range(len(self._names)):
                cells = [tell(self._of(prompt, count, number)) for count in clients]
                add("" if number else title, f"{number + 1}", cells)
        counts = [f"{count} CLIENT{'S' * (count > 1)}" for count in clients]
        return FoundTable([f"PROMPTS OF {prompt}", *(["SERVER"] if several else []), *counts], rows)

    def _ratios(self, case: Case) -> dict[str, list[float]]:
        """The second server's to the first one's, of each round that has both."""
        first, second = ({burst.round: burst.figures for burst in self._of(*case, number)} for number in (0, 1))
        ratios: dict[str, list[float]] = {}
        for turn in first.keys() & second.keys():
            for name in first[turn].keys() & second[turn].keys():
                if first[turn][name]:
                    ratios.setdefault(name, []).append(second[turn][name] / first[turn][name])
        return ratios

    def _object(self, prompt: int, clients: int, number: int) -> dict[str, Any]:
        bursts = self._of(prompt, clients, number)
        found: dict[str, Any] = {"server": self._names[number], "prompt_tokens": prompt, "clients": clients}
        found["read"] = {"prompt_tokens": _median_prompt(bursts), "cached": _part_cached(bursts)}
        found["tokens_counted_by"] = sorted({answer.counted for burst in bursts for answer in burst.answers})
        found["failures"] = [failure for burst in bursts for failure in burst.failures]
        found |= {name: _summary(values) for name, values in _by_figure(bursts).items()}
        if number:
            ratios = self._ratios((prompt, clients))
            found["ratio_to_first"] = {name: _summary(values) for name, values in ratios.items()}
        return found


def _by_figure(bursts: list[Burst]) -> dict[str, list[float]]:
    each = [burst.figures for burst in bursts]
    return {name: values for name in _FIGURES if (values := [found[name] for found in each if name in found])}


def _answers(bursts: list[Burst]) -> list[TimedAnswer]:
    return [answer for burst in bursts for answer in burst.answers]


def _median_prompt(bursts: list[Burst]) -> float | None:
    """Its tokens, where the server tells them."""
    told = [answer.prompt_tokens for answer in _answers(bursts) if answer.prompt_tokens]
    return statistics.median(told) if told else None


def _part_cached(bursts: list[Burst]) -> float | None:
    """Of the prompts, where the server tells it."""
    told = [
        (answer.cached_tokens, answer.prompt_tokens)
        for answer in _answers(bursts)
        if answer.cached_tokens is not None and answer.prompt_tokens
    ]
    return sum(cached for cached, _ in told) / sum(prompt for _, prompt in told) if told else None


def _prompt(bursts: list[Burst]) -> str:
    return "-" if (found := _median_prompt(bursts)) is None else f"{found:.0f} tokens"


def _cached(bursts: list[Burst]) -> str:
    return "-" if (found := _part_cached(bursts)) is None else f"{found:.0%}"


def _failed(bursts: list[Burst]) -> str:
    failed = sum(len(burst.failures) for burst in bursts)
    return f"{failed} of {failed + len(_answers(bursts))}"


def _summary(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 6) for name, value in found.items()}


def _shown(values: list[float], unit: str) -> str:
    if not values:
        return "-"
    scaled = [value * 1000 for value in values] if unit == " ms" else values
    digits = sum(statistics.median(scaled) < bound for bound in _FRACTIONS[: 1 if unit == " ms" else None])
    return spread(scaled, unit, digits)
