"""The table of a run, and whether it kept the promises."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from inferq.table import align
from tests.chaos.demand_faults import EXCUSED, EXCUSES
from tests.chaos.faults import Fault
from tests.chaos.forms import LASTING, Form
from tests.chaos.judgement import Fate
from tests.chaos.plan import Kind
from tests.chaos.run import SLACK, Outcome
from tests.chaos.stored import Shelf
from tests.chaos.story import tell

REQUESTS_A_KIND = 25
"""Requests during which one more kind of fault has to hit a running job."""
MOST_GIVEN_UP = 4
"""Streams of log probabilities that may end with a death of Redis: of some the last events were not in its file."""
ENDING = 12
"""Lines of a story's end that the verdict has."""
BAD = (Fate.LOST, Fate.DOUBLED, Fate.CROSSED, Fate.GAP)


def table(outcome: Outcome, lease: float) -> str:
    """What happened, for people."""
    fates = Counter(client.fate for client in outcome.clients)
    took = f"{outcome.seconds:.0f} s on a machine {outcome.slow:.1f} times slower than ours"
    lines = [f"{len(outcome.clients)} requests in {took}: " + _list({f: fates[f] for f in Fate})]
    kinds = Counter(client.request.kind for client in outcome.clients)
    lines.append("asked as " + _list(kinds) + "; refused and repeated: " + (_list(Counter(outcome.refusals)) or "none"))
    lines.append(
        "a worker was hurt that computed "
        + (_list({" ".join(what): count for what, count in sorted(within(outcome).items())}) or "nothing")
    )
    forgotten, read_anew, given_up = (
        sum(getattr(client, what) for client in outcome.clients) for what in ("forgotten", "read_anew", "given_up")
    )
    lines.append(f"forgotten by Redis with its last second, and submitted anew: {forgotten}; read anew: {read_anew}")
    lines.append(f"streams of log probabilities that ended, for Redis had forgotten a part of them: {given_up}")
    usages = [client.end.usage or {} for client in outcome.clients]
    known = sum((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0) for usage in usages)
    lines.append(f"tokens of prompts that were known, and not read: {known:,}")
    if outcome.loads:
        excused = Counter(code for client in outcome.clients for _, code in client.excused)
        lines.append(
            f"workers started for models that were asked for: {outcome.loads}; told: {_list(excused) or 'nothing'}"
        )
    rows: list[tuple[str, ...]] = [("FAULT", "MADE", "HIT A RUNNING JOB", "RUNNING JOBS HIT", "UP AGAIN AFTER")]
    for kind in sorted({fault.kind for fault in outcome.faults}):
        faults = [fault for fault in outcome.faults if fault.kind == kind]
        counts = (len(faults), sum(fault.hit > 0 for fault in faults), sum(fault.hit for fault in faults))
        rows.append((kind, *map(str, counts), f"{statistics.median(fault.until - fault.at for fault in faults):.1f} s"))
    rows.append(("all", *map(str, (len(outcome.faults), hits(outcome), sum(f.hit for f in outcome.faults))), ""))
    lines += ["", align(rows), ""]
    for name, times in (("recovery, nothing else going on", alone(outcome, lease)), ("recovery, any", _any(outcome))):
        if times:
            lines.append(
                f"{name}: {len(times)} streams, median {statistics.median(times):.2f} s, worst {max(times):.2f} s"
            )
    if outcome.after:
        before, after = (sum(keys.values()) for keys in (outcome.before, outcome.after))
        lines.append(f"keys in Redis: {before:,} bytes before the first request, {after:,} after the last retention")
    shelf = outcome.shelf
    lines.append(
        f"stored, and found as it was told, through two gateways: {_list(shelf.found) or 'nothing'}; forgotten with"
        f" Redis's last second: {shelf.forgotten}; ended once more after it: {shelf.ended_anew}; stored twice for"
        f" clients without a key that came again: {shelf.asked_twice}"
    )
    lines.append(f"inferq check: {outcome.books.strip() or 'everything balances'}")
    return "\n".join(lines)


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """Several runs in one."""
    return Outcome(
        clients=[client for outcome in outcomes for client in outcome.clients],
        loads=sum(outcome.loads for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        slow=max(outcome.slow for outcome in outcomes),
        struck=sum((outcome.struck for outcome in outcomes), Counter()),
        faults=[fault for outcome in outcomes for fault in outcome.faults],
        recoveries=[times for outcome in outcomes for times in outcome.recoveries],
        refusals=[told for outcome in outcomes for told in outcome.refusals],
        shelf=Shelf(
            sum((outcome.shelf.found for outcome in outcomes), Counter()),
            *(
                sum(getattr(outcome.shelf, what) for outcome in outcomes)
                for what in ("forgotten", "asked_twice", "ended_anew")
            ),
        ),
        books="\n".join(filter(None, (outcome.books for outcome in outcomes))),
    )


def verdict(seeds: Sequence[int], broken: Mapping[int, Sequence[str]], arguments: str) -> str:
    """The last words of all: which promises were `broken` with which seed, in short, and how to see it again."""
    lines = [""]
    for promise in (promise for promises in broken.values() for promise in promises):
        what, *story = promise.splitlines()
        lines += [f"BROKEN, {what}", *(["  …"] if len(story) > ENDING else []), *story[-ENDING:]]
    count = sum(map(len, broken.values()))
    lines.append(
        f"seeds {', '.join(map(str, seeds))}: {f'{count} promises broken' if broken else 'every promise kept'}"
    )
    lines += [f'again: make chaos ARGS="{arguments} --seed {seed}"' for seed in broken]
    return "\n".join(lines)


def broken_promises(outcome: Outcome, least_hits: int, kinds: Collection[str] = ()) -> Iterator[str]:
    """What makes the run a failure.

    So many faults must have hit a running job, and one of each of `kinds`, or of fewer where fewer requests were made.
    """
    for client in outcome.clients:
        if client.fate in BAD or client.fate is None:
            told = "\n  ".join(tell(client.story, outcome.faults))
            yield f"request {client.name} ({client.request.kind}) is {client.fate}:\n  {told}"
    given_up = sum(client.given_up for client in outcome.clients)
    deaths = sum("valkey" in fault.kind for fault in outcome.faults)
    if given_up > MOST_GIVEN_UP * deaths:
        yield f"{given_up} streams of log probabilities were given up, but Redis has died {deaths} times only"
    yield from (fault.unnoticed for fault in outcome.faults if fault.unnoticed)
    for told, count in Counter(outcome.refusals).items():
        if not told.startswith(("429 ", "503 ")):
            yield f"{count} requests were refused with {told}"
    yield from too_little(outcome.faults, outcome.planned, least_hits, kinds)
    yield from outcome.shelf.wrong
    if outcome.shelf.waiting:
        yield f"{outcome.shelf.waiting} answers wait to be stored, and nobody does it"
    if outcome.overview:
        yield outcome.overview
    if outcome.books:
        yield f"the books do not balance: {outcome.books}"
    if sum(outcome.after.values()) > sum(outcome.before.values()) + SLACK:
        largest = sorted(outcome.after.items(), key=itemgetter(1), reverse=True)[:5]
        yield f"Redis does not forget; its largest keys, in bytes: {largest}"


def too_little(faults: Sequence[Fault], requests: int, least_hits: int, kinds: Collection[str]) -> Iterator[str]:
    """Why these faults prove too little of so many requests; see `broken_promises`."""
    hit = [fault.kind for fault in faults if fault.hit]
    if len(hit) < least_hits:
        yield f"only {len(hit)} faults hit a running job, which proves too little; {least_hits} must"
    missing = sorted(set(kinds).difference(hit))
    if missing and len(set(kinds)) - len(missing) < requests // REQUESTS_A_KIND:
        yield f"no fault of these kinds hit a running job, which proves too little: {', '.join(missing)}"


def slow_recoveries(outcome: Outcome, lease: float) -> Iterator[str]:
    """The same of the time from a fault to the next token, where other workers have slots to spare.

    A slower machine has more time for what is done after the lease has ended.
    """
    usual, longest = outcome.slow, 3 * outcome.slow
    if times := alone(outcome, lease):
        if len(times) >= 20 and statistics.median(times) > lease + usual:  # fewer streams are those of a few faults
            yield f"recovery takes {statistics.median(times):.2f} s in the median, more than a lease and {usual:.1f} s"
        if max(times) > lease + longest:
            yield f"a recovery took {max(times):.2f} s, more than a lease and {longest:.1f} s"


def unhurt_forms(outcome: Outcome, least: int) -> Iterator[str]:
    """The same of answers of each form: so often at least a worker must have been hurt that computed one."""
    counts = Counter[str]()
    for (form, _), count in within(outcome).items():
        counts[form] += count
    for form in LASTING:
        if counts[form] < least:
            yield f"workers that computed {form} were hurt {counts[form]} times, which proves too little; {least} must"


def alike(outcome: Outcome) -> Iterator[str]:
    """The same of answers that are to tell models apart: of the same words each has to make something else."""
    told = defaultdict[str, dict[str, str]](dict)
    for request in (client.request for client in outcome.clients):
        if isinstance(prompt := request.body.get("prompt"), tuple):
            told[str(prompt)][request.body["model"]] = request.expected
    for answers in told.values():
        if len(set(answers.values())) < len(answers):
            yield f"{', '.join(answers)} answer alike, which proves too little"


def unexcused(outcome: Outcome) -> Iterator[str]:
    """The same of models that were not to be had, as clients were told: something must have kept them away."""
    for client in outcome.clients:
        for at, code in client.excused:
            kinds = EXCUSES[code]
            if not any(f.kind in kinds and f.at <= at <= f.until + EXCUSED * outcome.slow for f in outcome.faults):
                told = "\n  ".join(tell(client.story, outcome.faults))
                yield f"request {client.name} was told {code} for no reason:\n  {told}"


def hits(outcome: Outcome) -> int:
    """Faults that hit a running job."""
    return sum(fault.hit > 0 for fault in outcome.faults)


def within(outcome: Outcome) -> Counter[tuple[Form, str]]:
    """How often a worker was hurt that computed an answer, by what that was to be, and how it was to come."""
    found = Counter[tuple[Form, str]]()
    for client in outcome.clients:
        streamed = client.request.kind in (Kind.STREAM, Kind.FOLLOW)
        found[client.request.form, "streamed" if streamed else "whole"] += sum(
            outcome.struck[job] for job in client.jobs
        )
    return +found


def alone(outcome: Outcome, lease: float) -> list[float]:
    """Recoveries in seconds during which nothing kept Redis or the gateway from working.

    After an outage of Redis, leases are not recovered for one more lease.
    """
    outages = [(fault.at, fault.until + lease) for fault in outcome.faults if fault.stops_all]
    return [
        after - at for at, after in outcome.recoveries if not any(at < end and begin < after for begin, end in outages)
    ]


def _any(outcome: Outcome) -> list[float]:
    return [after - at for at, after in outcome.recoveries]


def _list(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
