"""`inferq check`: do the books of a Redis balance, and those of the archive?"""

from __future__ import annotations

import json
from dataclasses import asdict

from gateway.archive.archive import Archive
from gateway.archive.audit import ArchiveAudit, audit_archive
from inferq.status import no_answer
from inferq.table import printable
from inferq.terminal import echo
from shared.audit import Audit, Finding, audit
from shared.config import Config
from shared.errors import ArchiveUnavailable
from shared.store import Outage, connect


def show(config: Config, *, as_json: bool, contents: bool) -> bool:
    """Print what is wrong, a line each; True when nothing is. `contents` are what is in stored things.

    Raises NotRunning.
    """
    try:
        found = audit(connect(config.redis_url, timeout=10.0, retries=0))
    except Outage as exc:
        raise no_answer(config.redis_url, exc) from exc
    stored = _archive(config, contents)
    if as_json:
        echo(json.dumps({**asdict(found), "archive": asdict(stored)}, indent=2))
    else:
        echo(_lines(found, stored))
    return not found.findings and not stored.findings


def _archive(config: Config, contents: bool) -> ArchiveAudit:
    try:
        return audit_archive(Archive.open(config), contents=contents)
    except ArchiveUnavailable as exc:
        return ArchiveAudit(0, 0, [Finding("archive", exc.message)])


def _lines(found: Audit, stored: ArchiveAudit) -> str:
    lines = [
        *_books(f"{found.jobs} jobs, {found.keys} keys", found.findings),
        *_books(f"{stored.things} things, {stored.size} bytes are stored", stored.findings),
    ]
    return "\n".join(lines)


def _books(head: str, findings: list[Finding]) -> list[str]:
    if not findings:
        return [f"{head}: everything balances"]
    problems = [printable(f"{finding.subject}: {finding.problem}") for finding in findings]
    return [*problems, f"{head}: {len(problems)} findings"]
