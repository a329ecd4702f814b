"""Runs the tests of contracts in this process and reports the results."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from statekeep.testing import EXPLAINED

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Outcome", "Verdict", "run"]

Verdict = Literal["holds", "not claimed", "not tested", "broken"]

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one test.

    Attributes:
        promise: The name of the test, as words.
        verdict: ``holds``; ``broken``; ``not claimed``, if the plugin does not claim the power;
            ``not tested``, if something that the test needs was not given.
        reason: The reason, in one line; empty if it holds.
    """

    promise: str
    verdict: Verdict
    reason: str = ""


def run(
    *arguments: str, plugin: object = None, progress: Callable[[int, int], object] | None = None
) -> list[Outcome]:
    """Run tests with pytest, ignoring the pytest configuration found here.

    Args:
        arguments: Arguments for pytest that select the tests.
        plugin: A pytest plugin with the fixtures they need.
        progress: Called after each test with the number done so far and the total.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
        RuntimeError: The tests could not be run.
    """
    recorder = _Recorder(progress)
    settings = [
        f"--config-file={os.devnull}",
        f"--rootdir={os.getcwd()}",  # noqa: PTH109
        "--capture=sys",  # so that the caller can still write to the terminal
        "--disable-plugin-autoload",
        "--import-mode=importlib",
        *("-p", "no:cacheprovider"),
        *("-p", "no:terminal"),
    ]
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
            environment.delenv(variable, raising=False)
        plugins = [recorder] if plugin is None else [recorder, plugin]
        code = pytest.main([*settings, *arguments], plugins=plugins)
    if code == pytest.ExitCode.INTERRUPTED and not recorder.errors:
        raise KeyboardInterrupt
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise RuntimeError(f"the tests could not be run ({code!r}): {'; '.join(recorder.errors)}")
    return list(recorder.outcomes.values())


class _Recorder:
    """A pytest plugin that records the result of each test."""

    def __init__(self, progress: Callable[[int, int], object] | None) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.errors: list[str] = []
        self._progress = progress
        self._total = 0

    def pytest_configure(self) -> None:
        for name in EXPLAINED:
            pytest.register_assert_rewrite(f"statekeep.testing.{name}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(_reason(report))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        promise = report.location[2].rpartition(".")[2].removeprefix("test_").replace("_", " ")
        if report.failed:
            # A failure in the test itself counts, not one in the teardown after it.
            if self.outcomes.get(report.nodeid, Outcome("", "holds")).verdict != "broken":
                self.outcomes[report.nodeid] = Outcome(promise, "broken", _reason(report))
        elif report.skipped:
            reason = _reason(report)
            verdict: Verdict = "not claimed" if reason.startswith("not claimed") else "not tested"
            self.outcomes[report.nodeid] = Outcome(promise, verdict, reason)
        elif report.when == "call":
            self.outcomes[report.nodeid] = Outcome(promise, "holds")
        if report.when == "teardown" and self._progress is not None:
            self._progress(len(self.outcomes), self._total)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if isinstance(report.longrepr, tuple):
        message = report.longrepr[2]
    else:
        message = str(report.longrepr) if crash is None else crash.message
    line = next((line for line in message.splitlines() if line.strip()), "")
    line = re.sub(r"^(AssertionError|Failed|Skipped): |^statekeep\.errors\.", "", line.strip())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
