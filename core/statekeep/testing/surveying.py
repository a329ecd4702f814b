"""Tests of stores that make surveys."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from statekeep import InvalidKeyError, StateStore
from statekeep.store import SupportsSurvey, Survey, power
from statekeep.testing.fixtures import StoreFixtures

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SurveyContract"]

_KEYS = [f"notes/{n}.json" for n in range(5)]
# Some stores report names only after two seconds without a change.
_PAUSES = (0.0, 0.1, 0.4, 1.6, 0.4)


class SurveyContract(StoreFixtures):
    """The part of `StateStoreContract` about `SupportsSurvey`."""

    @pytest.fixture
    def surveying(self, store: StateStore) -> SupportsSurvey:
        """The store if it makes surveys; otherwise the test is skipped."""
        able = power(store, SupportsSurvey)
        if able is None:
            pytest.skip("not claimed: surveys")
        return able

    @pytest.fixture
    def settled(self, surveying: SupportsSurvey) -> Callable[[], Survey]:
        """A function that returns the first survey in which names are known."""

        def settle() -> Survey:
            for pause in _PAUSES:
                time.sleep(pause)
                if (survey := surveying.survey("notes")).names is not None:
                    break
            return survey

        return settle

    def test_a_survey_matches_a_scan(
        self, store: StateStore, other: StateStore, surveying: SupportsSurvey
    ) -> None:
        _matches_a_scan(store, surveying, "notes", None)
        for key in (*_KEYS, "notes/inner/a.json", "notesandmore/b.json"):
            other.put(key, b"x")
            for prefix in ("notes", "notes/inner", "", "nothing/here"):
                _matches_a_scan(store, surveying, prefix, None)
        with pytest.raises(InvalidKeyError):
            surveying.survey("../notes")

    def test_a_survey_based_on_an_earlier_one_matches_a_scan(
        self,
        store: StateStore,
        other: StateStore,
        surveying: SupportsSurvey,
        settled: Callable[[], Survey],
    ) -> None:
        for key in _KEYS:
            store.put(key, b"x")
        known = settled()
        _matches_a_scan(store, surveying, "notes", known)
        part = _part(known)
        again = surveying.survey("notes", part)
        if known.names is not None and again.names == known.names:
            assert again.keys == part.keys, "the survey has the same names but other keys"
            assert again.fingerprints == part.fingerprints, (
                "the survey differs though nothing was written"
            )
        changes: list[Callable[[], object]] = [
            lambda: other.put(_KEYS[1], b"y"),
            lambda: other.put(_KEYS[1], b"z"),
            lambda: other.put("notes/new.json", b"x"),
            lambda: other.delete(_KEYS[2]),
            lambda: other.put(_KEYS[2], b"x"),
            lambda: other.put("notes/inner/new.json", b"x"),
            lambda: other.put("notes/inner/newer.json", b"x"),
        ]
        for change in changes:
            change()
            _matches_a_scan(store, surveying, "notes", known)
            known = surveying.survey("notes", known)
        for key in [entry.key for entry in store.scan()]:
            other.delete(key)
        _matches_a_scan(store, surveying, "notes", known)


def _part(known: Survey) -> Survey:
    """A survey of every second document, in reverse order."""
    marks = known.fingerprints.split("\n")
    return replace(
        known, keys=[*known.keys][::-2], fingerprints="\n".join(marks[::-2]), modified_ns=()
    )


def _matches_a_scan(
    store: StateStore, surveying: SupportsSurvey, prefix: str, known: Survey | None
) -> None:
    survey = surveying.survey(prefix, known)
    marks = survey.fingerprints.split("\n") if survey.keys else []
    surveyed = sorted(zip(survey.keys, marks, survey.modified_ns, strict=True))
    scanned = sorted(
        (entry.key, entry.fingerprint or "", entry.modified_ns) for entry in store.scan(prefix)
    )
    assert surveyed == scanned, f"below {prefix!r} a survey gives {surveyed}, but a scan {scanned}"
