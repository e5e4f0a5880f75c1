"""`inferq` whose gateway says nothing of how prompts begin, so that any worker is given any job: see placement.py.

    python -P bench/unplaced.py gateway

It changes the installed release that it is run with.
"""

from __future__ import annotations

from shared import trail

trail.trail = lambda accepted: ""

from inferq import cli  # noqa: E402  # it takes the name from there

if __name__ == "__main__":
    cli.main()
