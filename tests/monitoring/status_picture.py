"""`inferq status --watch` as a picture: .venv/bin/python -m tests.monitoring.status_picture FILE.svg [SECONDS]

Drawn by what draws the page at a terminal, of a real `inferq up smollm2 echo` after some minutes of traffic, in which
some requests fail.
"""

from __future__ import annotations

import io
import random
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import OpenAI, OpenAIError
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from inferq import status
from inferq.watch.screen import observer, page
from shared.config import Config
from shared.history import ALL
from shared.store import connect
from tests.up import up

COLUMNS, ROWS = 120, 30
USERS = {"smollm2": 3, "echo": 7}


def use(url: str, model: str, end: float) -> None:
    """What one user does until then."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    while time.monotonic() < end:
        words = "word " * (40_000 if random.random() < 0.01 else random.randint(5, 60))
        try:
            client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": f"Tell me of {words}"}],
                max_tokens=random.randint(8, 60),
                service_tier=random.choice(["default", "flex", "priority"]),
            )
        except OpenAIError:
            time.sleep(1)
        time.sleep(random.expovariate(1.0) * (1 + 2 * (time.monotonic() % 240 > 120)))


def draw(data: Path) -> str:
    config = status.local(data, Config())
    client = connect(config.redis_url)
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, height=ROWS, force_terminal=True)
    console.print(page(console, observer(client, config).whole(ALL), []))
    client.close()
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*(?=@|\.)", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="inferq status --watch", code_format=without_fonts)


def main(file: Path, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(sum(USERS.values())) as pool:
        data = Path(folder) / "data"
        with up(data, "smollm2", "echo", "--port", "0", INFERQ_ECHO_RATE="8") as started:
            url, end = started.ready(), time.monotonic() + seconds
            users = [pool.submit(use, url, model, end + 5) for model, count in USERS.items() for _ in range(count)]
            time.sleep(seconds)
            file.write_text(draw(data))
            for user in users:
                user.result()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 600)
