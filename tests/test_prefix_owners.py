"""Through the whole of it: what was read outlives all processes, and nobody sees another key's."""

from __future__ import annotations

from pathlib import Path

from tests.prefixes import LONG, draw, snapshots
from tests.stack import Stack, running
from tests.tiny import roomy

ALICE, BOB = "sk-alice-0123456789", "sk-bob-abc-0123456789"
PROMPT = list(draw(LONG + 5))


def cached(stack: Stack, key: str, **more: object) -> int:
    client = stack.client(api_key=key)
    answer = client.completions.create(model="roomy", prompt=PROMPT, max_tokens=1, extra_body=more)
    assert answer.usage
    assert answer.usage.prompt_tokens_details
    return answer.usage.prompt_tokens_details.cached_tokens or 0


def start(stack: Stack, model: Path) -> None:
    stack.start_gateway(processes=1)
    stack.start_worker(str(model), slots=2)


def test_a_restart_of_everything_forgets_nothing_and_keys_stay_apart(tmp_path: Path) -> None:
    model = roomy(tmp_path)
    kept = {"api_keys": f"alice:{ALICE},bob:{BOB}", "prefixes": tmp_path / "prefixes"}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with running(tmp_path / "one", **kept) as stack:
        start(stack, model)
        assert cached(stack, ALICE, prompt_cache_retention="in_memory") == 0
        assert snapshots(tmp_path / "prefixes") == []
        assert cached(stack, ALICE) >= LONG - 1, "of the slot"
        assert len(snapshots(tmp_path / "prefixes")) == 1
    with running(tmp_path / "two", **kept) as stack:
        start(stack, model)
        assert cached(stack, BOB) == 0
        assert cached(stack, ALICE, prompt_cache_key="narrow") == 0
        assert cached(stack, ALICE) >= LONG
