"""The contracts find what is broken, and nothing where nothing is."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from contract import mutants
from contract.journal_mutants import MISTAKES, Mistake
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from statekeep import StateStore, StateStoreError, open_store
from statekeep.testing import JournalMachine, StateStoreMachine
from statekeep.testing.running import Outcome, run

if TYPE_CHECKING:
    from statekeep.retention import PruningStrategy
    from statekeep.store import StoreWrapper

pytestmark = pytest.mark.rest

PAGES = "a scan of many pages lists every document once whatever comes and goes"
LARGE = "a large document comes back whole or is refused"
WRONG_TYPES = "an argument of a wrong type is named"
REMAINS = "what remains is said in sentences"
TIMES = "the time of writing moves on when a document is rewritten"
STORES: dict[type[StoreWrapper], set[str]] = {
    mutants.CreatesOverWhatIsThere: {
        "a put keeps its condition or refuses it",
        "of racing creators one wins",
    },
    mutants.GivesStaleVersions: {"versions are equal only if the bytes are"},
    mutants.TakesTheLengthForTheVersion: {
        "versions are equal only if the bytes are",
        "compare and swap refuses what was not seen",
    },
    mutants.MatchesHalfSegments: {"a prefix matches whole segments"},
    mutants.DeletesTrees: {"deleting deletes a key and never a tree"},
    mutants.CachesListings: {"a scan is never cached"},
    mutants.SaysNoOfWhatLanded: {"an error of a write says what may have landed"},
    mutants.BlamesReads: {"an error of a write says what may have landed"},
    mutants.KeepsAVersionForOtherBytes: {"equal versions mean equal bytes"},
    mutants.KeepsTheCallersBuffer: {
        "bytes of any kind are kept as plain bytes",
        "the callers buffer is not kept",
    },
    mutants.ChecksThenWrites: {
        "of racing creators one wins",
        "of racing swaps none is lost among threads",
    },
    mutants.LetsEqualWritersAllWin: {"of racing writers of equal bytes one wins"},
    mutants.SwallowsConflicts: {
        "a put keeps its condition or refuses it",
        "compare and swap refuses what was not seen",
    },
    mutants.SwallowsIllegalKeys: {"an illegal key is refused by every operation"},
    mutants.ShowsTemporaryFiles: {"a scan shows documents only while others write"},
    mutants.DeletesWhateverIsThere: {
        "a delete keeps its condition or refuses it",
        "of racing deleters one wins",
    },
    mutants.NeverChangesTheFingerprint: {"a fingerprint that was read returns only with its bytes"},
    mutants.TakesTheSizeForTheFingerprint: {
        "a fingerprint that was read returns only with its bytes"
    },
    mutants.ClaimsWhatItRefuses: {"a put keeps its condition or refuses it"},
    mutants.IgnoresWhatItDoesNotClaim: {
        "a put keeps its condition or refuses it",
        "a delete keeps its condition or refuses it",
    },
    mutants.ClaimsToBeShared: {"documents are shared among processes"},
    mutants.TearsWrites: {"a reader sees the old bytes or the new"},
    mutants.LetsForeignErrorsEscape: {"only errors of statekeep escape"},
    mutants.RaisesForWhatIsNotThere: {"deleting nothing is fine"},
    mutants.ScansWhatIsWritten: {"documents may be deleted during a scan"},
    mutants.TakesNoneForAnything: {WRONG_TYPES},
    mutants.EncodesText: {WRONG_TYPES},
    mutants.AnswersInPythonsWords: {WRONG_TYPES},
    mutants.KeepsTheKeyAsItIs: {"text of any kind is a key"},
    mutants.GoesOnAfterItsEnd: {"a closed store refuses"},
    mutants.ScansOnAfterItsEnd: {"a closed store refuses"},
    mutants.GivesLocalTimes: {"a blob says when it was written"},
    mutants.LosesWhatIsMissingFromMany: {"many are read at once"},
    mutants.SweepsDocumentsAway: {"sweeping leaves documents alone"},
    mutants.InitializesDocumentsAway: {"initializing leaves documents alone"},
    mutants.SaysWhatRemainsInOneText: {REMAINS},
    mutants.SaysNothingOfWhatRemains: {REMAINS},
    mutants.DeletesToLeaveNothing: {REMAINS},
    mutants.ClosesForAll: {"closing one client leaves the other open"},
    mutants.DropsTheLastOfAPage: {PAGES},
    mutants.RepeatsTheFirstOfAPage: {PAGES},
    mutants.EndsAfterTwoPages: {PAGES},
    mutants.CountsInsteadOfNaming: {PAGES},
    mutants.DeletesOnePageOfMany: {PAGES},
    mutants.CutsAtAMebibyte: {LARGE},
    mutants.LosesTheLastPart: {LARGE},
    mutants.MixesUpParts: {LARGE},
    mutants.KeepsTheFirstTime: {TIMES},
    mutants.ListsTheFirstTime: {TIMES},
    mutants.GoesBackInTime: {TIMES},
    mutants.CountsNoRequest: {"a store that is far away counts its requests"},
    mutants.TakesSilenceForNothing: {
        "what does not answer does not pass for empty",
        "a read whose answer is lost does not find nothing",
    },
    mutants.TakesABrokenListingForItsEnd: {
        "what does not answer does not pass for empty",
        "a read whose answer is lost does not find nothing",
    },
    mutants.TakesSilenceForNothingAmongMany: {
        "what does not answer does not pass for empty",
        "a read whose answer is lost does not find nothing",
    },
    mutants.BelievesInWrites: {"what does not answer acknowledges nothing"},
    mutants.SendsAgainByItself: {"a put whose answer is lost is no conflict"},
    mutants.SendsAgainAndComparesBytes: {
        "a put that came too late is refused though its answer is lost"
    },
    mutants.SaysNoOfALostPut: {"a put whose answer is lost is no conflict"},
    mutants.SaysNoOfALostDelete: {"a delete whose answer is lost does not deny it"},
}
ON_DISK: dict[type[StoreWrapper], set[str]] = {
    mutants.Sound: set(),
    mutants.DeletesWithoutLooking: {
        "of many those stay that are not what was seen",
        "of racing deleters of many one has each",
    },
    mutants.TrustsWhatItKnew: {"a survey that knows names tells what a scan does"},
}
SESSIONS: dict[type[StoreWrapper], set[str]] = {
    mutants.CreatesOverWhatIsThere: {"a new session does not replace one"},
    mutants.ChecksThenWrites: {"of fifty updates at once none is lost"},
    mutants.SwallowsConflicts: {"the second of two savers is told"},
    mutants.DeletesWhateverIsThere: {
        "a prune spares what was saved pinned or deleted since its plan"
    },
    mutants.NeverChangesTheFingerprint: {"a listing is fresh"},
}
JOURNALS: dict[type[StoreWrapper], set[str]] = {
    mutants.ChecksThenWrites: {"threads that append at once lose nothing"},
    mutants.SwallowsConflicts: {"two that append in turns lose nothing"},
    mutants.DeletesWhateverIsThere: {"a delete deletes only what was seen"},
}
STRATEGIES: dict[type[PruningStrategy], set[str]] = {
    mutants.ChoosesTwice: {"it chooses each at most once"},
    mutants.Invents: {"it chooses from what it is shown"},
    mutants.GivesNoReason: {"it gives a reason"},
    mutants.Remembers: {"it chooses the same again"},
    mutants.TakesTheOldestHalf: {"it chooses nothing more from what it left"},
    mutants.NeedsASession: {"it chooses nothing from nothing"},
    mutants.EmptiesTheListing: {"it leaves the listing as it was"},
    mutants.Overflows: {"it takes any present"},
    mutants.ReversesTheOrder: {"its victims come in the order of the listing"},
    mutants.GoesByThePlace: {"the order of the listing does not matter"},
}


ONCE_FOUND = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def outcomes(contract: str, mutant: object, *arguments: str) -> list[Outcome]:
    suite = f"{Path(mutants.__file__)}::{contract}"
    return run(suite, *arguments, plugin=mutants.Given(mutant))


def broken(contract: str, mutant: object) -> set[str]:
    # Other processes open the location itself, and find nothing broken there.
    processes = "not process" if mutant is not mutants.ClaimsToBeShared else "documents_are_shared"
    found = outcomes(contract, mutant, "-k", processes)
    assert found
    return said(found)


def said(found: list[Outcome]) -> set[str]:
    """What is broken, each with a sentence about it, not with two numbers."""
    wrong = [each for each in found if each.verdict == "broken"]
    assert [each for each in wrong if re.match(r"assert |$", each.reason)] == []
    return {each.promise.partition("[")[0] for each in wrong}


CLAIMS = (
    "deletes of what was seen",
    "initialize",
    "query",
    "remains",
    "remote",
    "shared",
    "surveys",
    "sweep",
)


def test_a_sound_store_breaks_nothing() -> None:
    for contract in ("TestStore", "TestSessions", "TestJournals"):
        found = outcomes(contract, mutants.Sound)
        assert [each for each in found if each.verdict == "broken"] == []
        unclaimed = {each.reason for each in found if each.verdict == "not claimed"}
        assert unclaimed >= {"not claimed: shared"}
        assert unclaimed <= {f"not claimed: {each}" for each in CLAIMS}
        assert sum(each.verdict == "holds" for each in found) > 40


@pytest.mark.parametrize("mutant", STORES, ids=lambda mutant: mutant.__name__)
def test_a_broken_store_is_found_out(mutant: type[StoreWrapper]) -> None:
    assert broken("TestStore", mutant) >= STORES[mutant]


def test_a_broken_disk_is_found_out_by_races() -> None:
    races = "racing or both_win"
    for mutant in (mutants.Sound, mutants.ComparesBeforeTheLock):
        found = said(outcomes("TestStoreOnDisk", mutant, "-k", f"({races}) and not process"))
        expected = {
            "of racing deleters one wins",
            "of racing swaps none is lost among threads",
            "of racing writers of equal bytes one wins",
        }
        assert found & expected == (set() if mutant is mutants.Sound else expected)


@pytest.mark.parametrize("mutant", ON_DISK, ids=lambda mutant: mutant.__name__)
def test_a_store_with_broken_powers_is_found_out(mutant: type[StoreWrapper]) -> None:
    found = outcomes("TestStoreOnDisk", mutant, "-k", "survey or seen or of_many")
    assert said(found) == ON_DISK[mutant]


@pytest.mark.parametrize("mutant", SESSIONS, ids=lambda mutant: mutant.__name__)
def test_a_broken_store_is_found_out_by_its_sessions(mutant: type[StoreWrapper]) -> None:
    assert broken("TestSessions", mutant) >= SESSIONS[mutant]


@pytest.mark.parametrize("mutant", JOURNALS, ids=lambda mutant: mutant.__name__)
def test_a_broken_store_is_found_out_by_its_journals(mutant: type[StoreWrapper]) -> None:
    few = "in_turns or only_what_was_seen or threads_that"
    assert said(outcomes("TestJournals", mutant, "-k", few)) >= JOURNALS[mutant]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_in_journals_is_found_out(mistake: Mistake) -> None:
    with mistake.made():
        promise = mistake.promise.replace(" ", "_")
        assert mistake.promise in said(outcomes("TestJournals", mutants.Sound, "-k", promise))


@pytest.mark.parametrize("mutant", STRATEGIES, ids=lambda mutant: mutant.__name__)
def test_a_broken_strategy_is_found_out(mutant: type[PruningStrategy]) -> None:
    assert broken("TestStrategy", mutant) >= STRATEGIES[mutant]


def test_a_sound_strategy_breaks_nothing() -> None:
    assert broken("TestStrategy", mutants._Strategy) == set()


def run_machine(wrapper: type[StoreWrapper]) -> None:
    class Machine(StateStoreMachine):
        def location(self) -> str:
            return f"memory:{secrets.token_hex(8)}"

        def open(self, location: str) -> StateStore:
            return wrapper(open_store(location))

    run_state_machine_as_test(Machine, settings=ONCE_FOUND)


def test_a_sound_store_is_a_dict() -> None:
    run_machine(mutants.Sound)


@pytest.mark.parametrize(
    "mutant",
    [
        mutants.CreatesOverWhatIsThere,
        mutants.GivesStaleVersions,
        mutants.TakesTheLengthForTheVersion,
        mutants.MatchesHalfSegments,
        mutants.CachesListings,
        mutants.LetsEqualWritersAllWin,
        mutants.SwallowsConflicts,
        mutants.DeletesWhateverIsThere,
        mutants.NeverChangesTheFingerprint,
        mutants.ClaimsWhatItRefuses,
        mutants.IgnoresWhatItDoesNotClaim,
    ],
    ids=lambda mutant: mutant.__name__,
)
def test_a_broken_store_is_no_dict(mutant: type[StoreWrapper]) -> None:
    with pytest.raises((AssertionError, StateStoreError, pytest.fail.Exception)):
        run_machine(mutant)


@pytest.mark.parametrize(
    "mistake",
    [
        "forget_keys_of_lines_that_leave",
        "go_on_whatever_the_uid",
        "trust_the_size_of_what_is_known",
    ],
)
def test_a_broken_journal_is_no_list(mistake: str) -> None:
    class Machine(JournalMachine):
        def location(self) -> str:
            return f"memory:{secrets.token_hex(8)}"

    (found,) = (each for each in MISTAKES if str(each) == mistake)
    with (
        found.made(),
        pytest.raises((AssertionError, StateStoreError, pytest.fail.Exception)),
    ):
        run_state_machine_as_test(Machine, settings=ONCE_FOUND)
