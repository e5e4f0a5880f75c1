"""What the manual lets inferq do in Redis."""

from __future__ import annotations

import re
from pathlib import Path

PASSWORD = "hidden/word"
WRITTEN = "hidden%2Fword"
"""The password as it stands in a URL."""
MANUAL = Path(__file__).parents[1] / "docs" / "security.md"


def documented_user() -> str:
    """The minimal ACL of the manual, with our password."""
    [line] = re.findall(r"^user inferq .*$", MANUAL.read_text(), re.MULTILINE)
    assert "PASSWORD" in line
    return str(line.replace("PASSWORD", PASSWORD))
