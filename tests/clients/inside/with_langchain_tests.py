"""LangChain's standard tests of chat models, with `ChatOpenAI`: pytest runs this file."""

from __future__ import annotations

import sys
from typing import Any

import checks
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

UNDERSTANDING = "needs a model that understands what it is asked; echo does not, and SmolLM2 not reliably"


class TestInferq(ChatModelIntegrationTests):  # type: ignore[misc]  # its packages are in an environment of their own
    @property
    def chat_model_class(self) -> Any:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        where = {"base_url": f"{checks.URL}/v1", "api_key": "none", "max_retries": 0, "timeout": 60}
        return {**where, "model": "echo", "temperature": 0, "stream_usage": True}

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "smollm2"


for name in ("test_tool_calling", "test_tool_calling_async", "test_agent_loop", "test_json_mode"):
    setattr(TestInferq, name, pytest.mark.skip(UNDERSTANDING)(getattr(ChatModelIntegrationTests, name)))


class Reporter:
    """What pytest tells of each test, by the name of its function: what was skipped is not told."""

    def __init__(self) -> None:
        self.whys: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.split("::")[-1].partition("[")[0].removeprefix("test_").replace("_", " ")
        if report.failed:
            self.whys[name] = " ".join(report.longreprtext.split())[-500:]
        elif report.passed and report.when == "call":
            self.whys.setdefault(name, "")


if __name__ == "__main__":
    reporter = Reporter()
    options = [
        "-c",
        "/dev/null",
        "--rootdir",
        ".",
        "--noconftest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
    ]
    options += ["-o", "asyncio_default_test_loop_scope=session"]  # ChatOpenAI keeps its connections
    status = pytest.main([__file__, *options], plugins=[reporter])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(int(status))
    checks.tell(reporter.whys)
