"""Run histories from the command line: ``python -m simulation 2000``, or one: ``--seed 17``."""

from __future__ import annotations

import argparse
import sys

from simulation.history import replay, shrink


def main() -> int:
    """Run what the command line says; the exit code says whether a rule was broken."""
    parser = argparse.ArgumentParser(prog="simulation", description=main.__doc__)
    parser.add_argument("histories", type=int, nargs="?", default=2000)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--seed", type=int, help="only this one, printed whole")
    parser.add_argument("--shrink", metavar="RULE", help="make it smaller; it breaks this rule")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        history = replay(chosen.seed)
        print(shrink(history, chosen.shrink) if chosen.shrink else history)  # noqa: T201
        return bool(history.findings)
    for seed in range(chosen.first, chosen.first + chosen.histories):
        history = replay(seed)
        if history.findings:
            print(shrink(history, history.findings[0].rule))  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
