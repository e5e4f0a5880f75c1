"""`inferq check`: do the books of a Redis balance?"""

from __future__ import annotations

import json
from dataclasses import asdict

from inferq.status import no_answer
from inferq.table import printable
from inferq.terminal import echo
from shared.audit import Audit, audit
from shared.store import Outage, connect


def show(url: str, *, as_json: bool) -> bool:
    """Print what is wrong, a line each; True when nothing is. Raises NotRunning."""
    try:
        found = audit(connect(url, timeout=10.0, retries=0))
    except Outage as exc:
        raise no_answer(url, exc) from exc
    echo(json.dumps(asdict(found), indent=2) if as_json else _lines(found))
    return not found.findings


def _lines(found: Audit) -> str:
    head = f"{found.jobs} jobs, {found.keys} keys: "
    if not found.findings:
        return head + "everything balances"
    problems = [printable(f"{finding.subject}: {finding.problem}") for finding in found.findings]
    return "\n".join([*problems, head + f"{len(problems)} findings"])
