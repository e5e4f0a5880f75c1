"""Configuration: typed, loud, and documented."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from shared.config import PREFIX, Config, ConfigError

TABLE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_reads_the_environment_and_ignores_what_is_not_ours() -> None:
    config = Config.from_env({"INFERQ_SLOTS": "8", "INFERQ_LEASE": "5.5", "INFERQ_HOST": "::1", "PATH": "/bin"})
    assert (config.slots, config.lease, config.host) == (8, 5.5, "::1")


def test_an_empty_value_is_the_default() -> None:
    assert Config.from_env({"INFERQ_SLOTS": ""}) == Config()


def test_survives_the_way_to_a_child() -> None:
    config = Config(slots=3, lease=2.5, redis_url="redis://x/1")
    assert Config.from_env(config.to_env()) == config


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("INFERQ_SLOTS", "four", "not a whole number"),
        ("INFERQ_SLOTS", "0", "at least 1"),
        ("INFERQ_SLOTS", "1.5", "not a whole number"),
        ("INFERQ_PORT", "70000", "at most 65535"),
        ("INFERQ_LEASE", "nan", "at least 1"),
        ("INFERQ_LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("INFERQ_BATCH_SIZE", "1", "0, or at least 8"),
        ("INFERQ_SLOT", "4", "not a setting"),
    ],
)
def test_refuses_naming_the_variable(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as error:
        Config.from_env({name: value})
    assert name in error.value.message


def test_the_documented_table_is_the_dataclass() -> None:
    documented = [line.split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `INFERQ_")]
    fields = dataclasses.fields(Config)
    assert [(row[0].strip("| `"), row[1].strip("`"), row[2].rstrip(" |")) for row in documented] == [
        (PREFIX + f.name.upper(), str(f.default), f.metadata["help"]) for f in fields
    ]
