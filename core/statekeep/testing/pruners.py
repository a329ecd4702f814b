"""Tests of pruning strategies."""

from __future__ import annotations

import random
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from statekeep import SessionSummary
from statekeep.retention import PruningStrategy, Victim
from statekeep.testing.hostile import hostile_ids

__all__ = ["PrunerContract"]

_NOW = datetime(2024, 6, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


class PrunerContract:
    """What every pruning strategy promises; subclass it and override `strategy`.

    It gives the strategy all kinds of listings: empty, long, with equal or future times.

    Attributes:
        in_order: True if the strategy promises its victims in the order of the listing.
        for_any_order: True if it promises the same choice for any order of the listing.

    Examples:
        >>> class TestMine(PrunerContract):
        ...     @pytest.fixture
        ...     def strategy(self) -> PruningStrategy:
        ...         return load_pruner("mine", keep=5)
    """

    in_order: ClassVar[bool] = False
    for_any_order: ClassVar[bool] = False

    @pytest.fixture
    def strategy(self) -> PruningStrategy:
        """The configured strategy."""
        raise NotImplementedError("override the fixture `strategy` with the strategy")

    def test_it_chooses_only_from_the_listing(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            victims = list(strategy.select(listing, _NOW))
            for victim in victims:
                assert isinstance(victim, Victim), f"it returned {victim!r}, which is not a Victim"
                known = victim.summary in listing
                assert known, f"it chose {victim.summary!r}, which is not in the listing"

    def test_it_chooses_each_at_most_once(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            _each_once(_chosen(strategy, listing))

    def test_it_gives_a_reason(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            for victim in strategy.select(listing, _NOW):
                assert victim.reason.strip(), f"it gives no reason for {victim.summary.id!r}"

    def test_it_chooses_the_same_sessions_again(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            first = list(strategy.select(listing, _NOW))
            again = list(strategy.select(deepcopy(listing), _NOW))
            assert again == first, (
                f"from the same {len(listing)} sessions it chose {len(first)}, then {len(again)}, "
                "or others, or for other reasons"
            )

    def test_it_chooses_nothing_more_from_the_rest(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            gone = set(_chosen(strategy, listing))
            left = [summary for summary in listing if summary.id not in gone]
            more = _chosen(strategy, left)
            assert more == [], (
                f"from the {len(left)} sessions that it kept it chose {len(more)} more"
            )

    def test_it_chooses_nothing_from_an_empty_listing(self, strategy: PruningStrategy) -> None:
        victims = list(strategy.select([], _NOW))
        assert victims == [], f"it chose {victims} from an empty listing"

    def test_it_does_not_change_the_listing(self, strategy: PruningStrategy) -> None:
        for listing in _listings():
            before = deepcopy(listing)
            list(strategy.select(listing, _NOW))
            assert listing == before, (
                f"it changed a listing of {len(before)} sessions, which now has {len(listing)}"
            )

    def test_it_accepts_any_current_time(self, strategy: PruningStrategy) -> None:
        for now in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
            for listing in _listings():
                _each_once([victim.summary.id for victim in strategy.select(listing, now)])

    def test_its_victims_come_in_the_order_of_the_listing(self, strategy: PruningStrategy) -> None:
        if not self.in_order:
            pytest.skip("not promised: in_order")
        for listing in _listings():
            ids = _chosen(strategy, listing)
            ordered = [summary.id for summary in listing if summary.id in set(ids)]
            assert ids == ordered, f"its {len(ids)} victims are not in the order of the listing"

    def test_the_order_of_the_listing_does_not_matter(self, strategy: PruningStrategy) -> None:
        if not self.for_any_order:
            pytest.skip("not promised: for_any_order")
        for listing in _listings():
            for order in (listing[::-1], sorted(listing, key=lambda summary: summary.id)):
                others = set(_chosen(strategy, order)) ^ set(_chosen(strategy, listing))
                assert not others, f"for another order of the listing, {len(others)} choices differ"


def _each_once(ids: list[str]) -> None:
    twice = sorted({each for each in ids if ids.count(each) > 1})
    assert not twice, f"it chose {twice[:3]} more than once"


def _chosen(strategy: PruningStrategy, listing: list[SessionSummary]) -> list[str]:
    return [victim.summary.id for victim in strategy.select(listing, _NOW)]


def _listings() -> list[list[SessionSummary]]:
    """Listings that a strategy may be given, short ones first. Each is newest first, ties by id."""
    chance = random.Random(0)  # the same each time
    ages = [-_HOUR, timedelta(0), _HOUR, 24 * _HOUR, 168 * _HOUR, 1000 * _HOUR]
    ends = [_NOW - datetime.max.replace(tzinfo=UTC), _NOW - datetime.min.replace(tzinfo=UTC)]
    mixed = [chance.choice(ages) + chance.randrange(100) * _HOUR for _ in range(200)]
    found = [
        [],
        *([_summary("one", age)] for age in (*ages, *ends)),
        [_summary(session_id, 1000 * _HOUR) for session_id in hostile_ids()],
        [_summary(str(n), age) for n, age in enumerate([*ages, *ends])],
        *([_summary(f"{n:03}", age, n) for n in range(120)] for age in ages),
        [_summary(f"{n:03}", age, n) for n, age in enumerate(mixed)],
    ]
    for listing in found:
        listing.sort(key=lambda summary: summary.id)
        listing.sort(key=lambda summary: summary.updated_at, reverse=True)
    return found


def _summary(session_id: str, age: timedelta, n: int = 0) -> SessionSummary:
    return SessionSummary(
        id=session_id,
        user_id=["ada", "bob", ""][n % 3],
        message_count=n % 4,
        active_seed_id=[None, "seed"][n % 2],
        project_id=[None, "", "project"][n % 3],
        created_at=datetime.min.replace(tzinfo=UTC),
        updated_at=_NOW - age,
        size=1000 + n,
        pinned_until=[None, _NOW - _HOUR][n % 2],
        last_phase=[None, "plan"][n % 2],
        last_evaluation=[None, False, True][n % 3],
    )
