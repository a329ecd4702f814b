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

PAGES = "a scan of many pages is complete while documents come and go"
LARGE = "a large document comes back whole or is refused"
WRONG_TYPES = "a type error names the wrong argument"
REMAINS = "remains returns sentences"
TIMES = "the modification time advances when a document is rewritten"
STORES: dict[type[StoreWrapper], set[str]] = {
    mutants.CreatesOverWhatIsThere: {
        "a conditional put works or is refused",
        "only one of several racing creators wins",
    },
    mutants.GivesStaleVersions: {"different bytes have different versions"},
    mutants.TakesTheLengthForTheVersion: {
        "different bytes have different versions",
        "compare and swap refuses an outdated version",
    },
    mutants.MatchesHalfSegments: {"a prefix matches whole segments"},
    mutants.DeletesTrees: {"a delete removes one key and never a tree"},
    mutants.CachesListings: {"a scan is never cached"},
    mutants.DoesNotSayThatNothingLanded: {"a conditional put works or is refused"},
    mutants.SaysNoOfWhatLanded: {"a write error says whether the write landed"},
    mutants.BlamesReads: {"a write error says whether the write landed"},
    mutants.KeepsAVersionForOtherBytes: {"equal versions mean equal bytes"},
    mutants.KeepsTheCallersBuffer: {
        "bytes like data comes back as plain bytes",
        "the callers buffer is not kept",
    },
    mutants.ChecksThenWrites: {
        "only one of several racing creators wins",
        "racing swaps by threads are all kept",
    },
    mutants.LetsEqualWritersAllWin: {"only one of several racing writers of equal bytes wins"},
    mutants.SwallowsConflicts: {
        "a conditional put works or is refused",
        "compare and swap refuses an outdated version",
    },
    mutants.SwallowsIllegalKeys: {"an illegal key is refused by every operation"},
    mutants.ShowsTemporaryFiles: {"a scan shows only documents while others write"},
    mutants.DeletesWhateverIsThere: {
        "a conditional delete works or is refused",
        "only one of several racing deleters wins",
    },
    mutants.NeverChangesTheFingerprint: {"a fingerprint never returns with other bytes"},
    mutants.TakesTheSizeForTheFingerprint: {"a fingerprint never returns with other bytes"},
    mutants.ClaimsWhatItRefuses: {"a conditional put works or is refused"},
    mutants.IgnoresWhatItDoesNotClaim: {
        "a conditional put works or is refused",
        "a conditional delete works or is refused",
    },
    mutants.ClaimsToBeShared: {"documents are shared among processes"},
    mutants.TearsWrites: {"a reader sees the old bytes or the new ones"},
    mutants.LetsForeignErrorsEscape: {"only statekeep errors escape"},
    mutants.RaisesForWhatIsNotThere: {"deleting a missing document is fine"},
    mutants.ScansWhatIsWritten: {"documents may be deleted during a scan"},
    mutants.TakesNoneForAnything: {WRONG_TYPES},
    mutants.EncodesText: {WRONG_TYPES},
    mutants.AnswersInPythonsWords: {WRONG_TYPES},
    mutants.KeepsTheKeyAsItIs: {"a subclass of str can be a key"},
    mutants.GoesOnAfterItsEnd: {"a closed store raises closed error"},
    mutants.ScansOnAfterItsEnd: {"a closed store raises closed error"},
    mutants.GivesLocalTimes: {"the modification time is the time of writing"},
    mutants.LosesWhatIsMissingFromMany: {"many documents can be read at once"},
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
    mutants.CountsNoRequest: {"a remote store counts its requests"},
    mutants.TakesSilenceForNothing: {
        "an unreachable store does not look empty",
        "a read whose response is lost does not look empty",
    },
    mutants.TakesABrokenListingForItsEnd: {
        "an unreachable store does not look empty",
        "a read whose response is lost does not look empty",
    },
    mutants.TakesSilenceForNothingAmongMany: {
        "an unreachable store does not look empty",
        "a read whose response is lost does not look empty",
    },
    mutants.BelievesInWrites: {"an unreachable store acknowledges no write"},
    mutants.SendsAgainByItself: {"a put whose response is lost is not a conflict"},
    mutants.SendsAgainAndComparesBytes: {"a stale put is refused even if its response is lost"},
    mutants.SaysNoOfALostPut: {"a put whose response is lost is not a conflict"},
    mutants.SaysNoOfALostDelete: {"a delete whose response is lost is reported truthfully"},
}
ON_DISK: dict[type[StoreWrapper], set[str]] = {
    mutants.Sound: set(),
    mutants.DeletesWithoutLooking: {
        "documents changed since they were seen are kept",
        "only one of two racing deleters deletes each document",
    },
    mutants.TrustsWhatItKnew: {"a survey based on an earlier one matches a scan"},
}
SESSIONS: dict[type[StoreWrapper], set[str]] = {
    mutants.CreatesOverWhatIsThere: {"a new session does not replace an existing one"},
    mutants.ChecksThenWrites: {"fifty concurrent updates are all kept"},
    mutants.SwallowsConflicts: {"the second of two savers gets a conflict"},
    mutants.DeletesWhateverIsThere: {
        "a prune skips sessions saved pinned or deleted since its plan"
    },
    mutants.NeverChangesTheFingerprint: {"a listing is up to date"},
}
JOURNALS: dict[type[StoreWrapper], set[str]] = {
    mutants.ChecksThenWrites: {"threads appending at once lose nothing"},
    mutants.SwallowsConflicts: {"two writers taking turns lose nothing"},
    mutants.DeletesWhateverIsThere: {"a delete of a version spares a newer one"},
}
STRATEGIES: dict[type[PruningStrategy], set[str]] = {
    mutants.ChoosesTwice: {"it chooses each at most once"},
    mutants.Invents: {"it chooses only from the listing"},
    mutants.GivesNoReason: {"it gives a reason"},
    mutants.Remembers: {"it chooses the same sessions again"},
    mutants.TakesTheOldestHalf: {"it chooses nothing more from the rest"},
    mutants.NeedsASession: {"it chooses nothing from an empty listing"},
    mutants.EmptiesTheListing: {"it does not change the listing"},
    mutants.Overflows: {"it accepts any current time"},
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
            "only one of several racing deleters wins",
            "racing swaps by threads are all kept",
            "only one of several racing writers of equal bytes wins",
        }
        assert found & expected == (set() if mutant is mutants.Sound else expected)


@pytest.mark.parametrize("mutant", ON_DISK, ids=lambda mutant: mutant.__name__)
def test_a_store_with_broken_powers_is_found_out(mutant: type[StoreWrapper]) -> None:
    found = outcomes(
        "TestStoreOnDisk", mutant, "-k", "survey or seen or two_racing or unchanged_documents"
    )
    assert said(found) == ON_DISK[mutant]


@pytest.mark.parametrize("mutant", SESSIONS, ids=lambda mutant: mutant.__name__)
def test_a_broken_store_is_found_out_by_its_sessions(mutant: type[StoreWrapper]) -> None:
    assert broken("TestSessions", mutant) >= SESSIONS[mutant]


@pytest.mark.parametrize("mutant", JOURNALS, ids=lambda mutant: mutant.__name__)
def test_a_broken_store_is_found_out_by_its_journals(mutant: type[StoreWrapper]) -> None:
    few = "taking_turns or spares_a_newer or threads_appending"
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
