"""aider: whole edits of a file in a repository. Echo answers with the edit that it was told."""

from __future__ import annotations

import os
from pathlib import Path

from checks import URL, check, equal, run, run_command

os.environ |= {"OPENAI_API_BASE": f"{URL}/v1", "OPENAI_API_KEY": "none", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
os.environ |= {"ANTHROPIC_API_BASE": URL, "ANTHROPIC_API_KEY": "none"}
COMMIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "begin")
QUIET = ("--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-gitignore", "--yes-always")
EDIT = """hello.py
```
print("edited")
```
"""


def aider(*words: str, model: str = "openai/echo") -> str:
    return run_command("aider", "--model", model, *QUIET, *words)


def begin(folder: str) -> Path:
    """A repository with one file, which is the working directory from here on."""
    place = Path(os.environ["HOME"]) / folder
    place.mkdir()
    os.chdir(place)
    Path("hello.py").write_text('print("hello")\n')
    run_command("git", "init", "-q")
    run_command("git", "add", "hello.py")
    run_command(*COMMIT)
    return place / "hello.py"


@check
def whole_edit() -> None:
    file = begin("streamed")
    printed = aider("--edit-format", "whole", "--no-auto-commits", "--message", EDIT, "hello.py")
    equal(file.read_text(), 'print("edited")\n')
    assert "Applied edit to hello.py" in printed, printed[-500:]


@check
def whole_edit_without_stream() -> None:
    file = begin("at-once")
    aider("--edit-format", "whole", "--no-stream", "--no-auto-commits", "--message", EDIT, "hello.py")
    equal(file.read_text(), 'print("edited")\n')


@check
def whole_edit_by_messages_of_anthropic() -> None:
    for stream in ("--stream", "--no-stream"):
        file = begin(f"anthropic{stream}")
        words = ("--edit-format", "whole", stream, "--no-auto-commits", "--message", EDIT, "hello.py")
        aider(*words, model="anthropic/echo")
        equal(file.read_text(), 'print("edited")\n')


@check
def question() -> None:
    begin("asked")
    printed = aider("--chat-mode", "ask", "--message", "What is an apricot?", "hello.py")
    assert "What is an apricot?" in printed, printed[-500:]
    assert "Tokens:" in printed, printed[-500:]


run()
