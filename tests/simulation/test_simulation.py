"""Many workers on one store, with all that can go wrong: no history breaks a promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulation import rules
from simulation.history import History, replay, shrink
from simulation.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from collections.abc import Callable

_ENOUGH = 6000
"""In so many histories each mistake is found, most in a hundredth of them."""

_DIGEST = """
import hashlib
import os
os.getpid = lambda: int(os.environ["PROCESS"])
from simulation.history import replay
print(hashlib.sha256("".join(str(replay(seed)) for seed in range(30)).encode()).hexdigest())
"""


def _find(rule: str) -> History:
    for seed in range(_ENOUGH):
        history = replay(seed)
        if history.breaks(rule):
            return history
    pytest.fail(f"{rule} is not broken in {_ENOUGH} histories")


def test_no_history_breaks_a_rule(rounds: Callable[[int], int]) -> None:
    for seed in range(rounds(20_000)):
        history = replay(seed)
        if history.findings:
            pytest.fail(f"{shrink(history, history.findings[0].rule)}", pytrace=False)


@pytest.mark.rest
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mistake_is_found(mutant: Mutant) -> None:
    with mutant.made():
        _find(mutant.rule.__name__)


def test_each_rule_is_seen_broken() -> None:
    assert {mutant.rule.__name__ for mutant in MUTANTS} == rules.NAMES


def test_a_seed_replays() -> None:
    for seed in range(30):
        assert str(replay(seed)) == str(replay(seed))


def test_a_seed_replays_in_another_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={
                **os.environ,
                "PYTHONHASHSEED": number,
                "PROCESS": number * int(number),
                "PYTHONPATH": str(Path(__file__).parents[1]),
            },
            check=True,
            capture_output=True,
        ).stdout
        for number in "12"
    }
    assert len(digests) == 1


def test_a_history_is_made_smaller() -> None:
    mutant = MUTANTS[0]
    rule = mutant.rule.__name__
    with mutant.made():
        history = _find(rule)
        smaller = shrink(history, rule)
        assert smaller.breaks(rule)
        assert len(smaller.plan.steps) < len(history.plan.steps)
        assert str(smaller) == str(shrink(history, rule))
