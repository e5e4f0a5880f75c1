"""A request as code: what is copied and run asks exactly what the page has asked, whatever stands in it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.browser.conftest import Open
from tests.browser.panels import call, panel, say
from tests.stack import Stack

HOSTILE = 'it\'s "quoted" $HOME `id` \\ \\n !! %s {x}\nJSON\n\'\'\'"""\r\n\0\x7f\u2028\u202eäöü 日本 🙂 </script>'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.sampled_from([0.1, -1.5, 1e-9]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _run(*command: str, key: str = "") -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    environment |= {"OPENAI_API_KEY": key} if key else {}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_any_value_is_written_as_a_literal(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url) as page:

        @given(st.lists(VALUES, min_size=1, max_size=8))
        @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], database=None)
        def literals(values: list[Any]) -> None:
            body = {"model": "echo", "messages": [], "values": values}
            told = call(page, "chat/code.js", "python", {"origin": stack.url, "body": body, "keyed": False})
            [create] = [
                node for node in ast.walk(ast.parse(told)) if isinstance(node, ast.Call) and len(node.keywords) == 3
            ]
            given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in create.keywords}
            assert given.pop("extra_body") == {"values": values}
            assert given == {"model": "echo", "messages": []}
            posted = call(page, "chat/code.js", "curl", {"origin": stack.url, "body": body, "keyed": False})
            assert json.loads(posted.partition("<<'JSON'\n")[2].removesuffix("\nJSON\n")) == body

        literals()


def test_what_is_copied_runs_and_answers_the_same(stack: Stack, open_page: Open) -> None:
    body = {
        "model": "echo",
        "messages": [{"role": "system", "content": HOSTILE}, {"role": "user", "content": HOSTILE}],
        "temperature": 0.5,
        "min_p": 0.1,
        "stop": ["never\nsaid", "it's not"],
    }
    with open_page(stack.url) as page:
        for streamed in (False, True):
            sent = {"origin": stack.url, "body": body | {"stream": streamed}, "keyed": streamed}
            posted = call(page, "chat/code.js", "curl", sent)
            said = _run("bash", "-c", posted, key="unknown to the gateway")
            if streamed:
                chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
                answer = "".join(
                    chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]
                )
                assert '"Authorization: Bearer $OPENAI_API_KEY"' in posted
            else:
                answer = json.loads(said)["choices"][0]["message"]["content"]
            assert answer == HOSTILE
            program = call(page, "chat/code.js", "python", sent)
            said = _run(sys.executable, "-c", program, key="unknown to the gateway" if streamed else "")
            assert (said == HOSTILE + "\n") if streamed else (repr(HOSTILE) in said)


SAID = "what's \\n $HOME?\n\n''\"\"\" `id`"


def test_what_the_page_shows_of_its_request_is_what_it_has_sent(stack: Stack, open_page: Open) -> None:
    with open_page(stack.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        settings = panel(page, "Sampling")
        settings.get_by_label("Instructions").fill('Say "it\'s" `so`.')
        settings.get_by_label("Top k", exact=True).fill("40")
        body = say(page, SAID)
        settings.get_by_label("Top k", exact=True).fill("1")  # for what is asked next
        page.get_by_role("button", name="View as code").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Copy").click()
        posted = page.evaluate("navigator.clipboard.readText()")
        assert json.loads(posted.partition("<<'JSON'\n")[2].removesuffix("\nJSON\n")) == body
        dialog.get_by_role("button", name="Python").click()
        dialog.get_by_role("button", name="Copy").click()
        assert _run(sys.executable, "-c", page.evaluate("navigator.clipboard.readText()")) == SAID + "\n"
