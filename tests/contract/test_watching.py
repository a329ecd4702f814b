"""Watching, over every store: what came, changed and went, each once, and nothing else."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import InvalidKeyError, Journals, Sessions, UnavailableError
from statekeep.store import StoreWrapper
from statekeep.watching import Watcher, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import StateStore
    from statekeep.watching import Change


def told(changes: list[Change]) -> list[tuple[Any, ...]]:
    return sorted((each.kind, each.id, each.added) for each in changes)


def test_what_comes_changes_and_goes_is_told_once(store: StateStore) -> None:
    sessions = Sessions(store)
    sessions.add_turn("before", user=["x"], user_id="ada")
    watcher = Watcher(store)
    assert watcher.scan() == []
    assert watcher.scan() == []
    sessions.add_turn("s", user=["a", "b"], user_id="ada")
    journal = Journals(store, "c").open("j", "k", user_id="eve")
    journal.append([1, 2, 3])
    changes = watcher.scan()
    assert told(changes) == [("created", "j/k", 3), ("created", "s", 2)]
    assert {(each.collection, each.user_id) for each in changes} == {(None, "ada"), ("c", "eve")}
    assert all(datetime.now(UTC) - each.at < timedelta(minutes=1) for each in changes)
    assert watcher.scan() == []
    journal.append([4])
    journal.append([5])
    sessions.add_turn("before", user=["y"])
    assert told(watcher.scan()) == [("changed", "before", 1), ("changed", "j/k", 2)]
    journal.change(lambda draft: draft.pop())
    sessions.delete("s")
    assert told(watcher.scan()) == [("changed", "j/k", -1), ("deleted", "s", -2)]
    journal.delete()
    journal.append(["anew"])
    assert told(watcher.scan()) == [("created", "j/k", 1), ("deleted", "j/k", -4)]
    assert watcher.scan() == []


def test_only_what_is_asked_for_is_told(store: StateStore) -> None:
    watchers = [
        Watcher(store, user_id="ada"),
        Watcher(store, collections=["c"], sessions=False),
        Watcher(store, collections=()),
    ]
    assert [watcher.scan() for watcher in watchers] == [[], [], []]
    for user in ("ada", "eve"):
        Sessions(store).add_turn(f"{user}'s", user=["x"], user_id=user)
        for collection in ("c", "d"):
            Journals(store, collection).open(user, user_id=user).append([1])
    ids = [{each.id for each in watcher.scan()} for watcher in watchers]
    assert ids == [{"ada's", "ada"}, {"ada", "eve"}, {"ada's", "eve's"}]
    with pytest.raises(InvalidKeyError):
        Watcher(store, collections=["../x"]).scan()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_nothing_is_missed_or_invented(
    store: StateStore, seed: int, rounds: Callable[[int], int]
) -> None:
    chance = random.Random(seed)
    sessions, lengths = Sessions(store), dict[str, int]()
    watcher = Watcher(store)
    watcher.scan()
    for _ in range(rounds(800)):
        before, born = {**lengths}, set[str]()
        for _ in range(chance.randrange(6)):
            name = chance.choice("abcdef")
            journal = Journals(store, f"c{name}").open(name)
            is_session = name in "abc"
            if name in lengths and chance.random() < 0.4:
                if is_session:
                    sessions.delete(name)
                else:
                    journal.delete()
                del lengths[name]
                continue
            if name not in lengths:
                born.add(name)
            if is_session:
                sessions.add_turn(name, user=["x"], user_id="ada")
            else:
                journal.append([1])
            lengths[name] = lengths.get(name, 0) + 1
        expected = [
            ("deleted", name, -length)
            for name, length in before.items()
            if name not in lengths or name in born
        ]
        for name, length in lengths.items():
            if name in born or name not in before:
                expected.append(("created", name, length))
            elif length != before[name]:
                expected.append(("changed", name, length - before[name]))
        found = [(each.kind, each.id, each.added) for each in watcher.scan()]
        assert sorted(found) == sorted(expected)
    assert watcher.scan() == []


def test_what_cannot_be_read_is_not_gone(store: StateStore) -> None:
    sessions = Sessions(store)
    sessions.add_turn("s", user=["x"], user_id="ada")
    watcher = Watcher(store)
    watcher.scan()
    whole = store.get("sessions/s.json")
    assert whole is not None
    store.put("sessions/s.json", b"{")
    assert watcher.scan() == []
    assert [each.key for each in watcher.problems] == ["sessions/s.json"]
    store.put("sessions/s.json", whole.data)
    assert told(watcher.scan()) in ([], [("changed", "s", 0)])  # some count versions
    assert watcher.problems == ()


def test_what_was_restored_with_an_old_time_is_told(store: StateStore) -> None:
    sessions = Sessions(store)
    old = datetime(2020, 1, 1, tzinfo=UTC)
    session = sessions.get_or_create("ada", "old")
    session.created_at = session.updated_at = old
    sessions.save(session)
    watcher = Watcher(store)
    watcher.scan()
    sessions.delete("old", trash=True)
    assert told(watcher.scan()) == [("deleted", "old", 0)]
    sessions.restore("old")
    assert told(watcher.scan()) == [("created", "old", 0)]


def test_a_clock_that_is_ahead_hides_nothing(store: StateStore) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "ahead")
    session.updated_at = datetime(2100, 1, 1, tzinfo=UTC)
    sessions.save(session)
    watcher = Watcher(store)
    watcher.scan()
    sessions.add_turn("s", user=["x"], user_id="ada")
    sessions.add_turn("s", user=["x"], user_id="ada")
    assert told(watcher.scan()) == [("created", "s", 2)]
    sessions.add_turn("s", user=["x"], user_id="ada")
    assert told(watcher.scan()) == [("changed", "s", 1)]


def test_after_an_answer_that_was_lost_it_goes_on(store: StateStore) -> None:
    class Away(StoreWrapper):
        is_away = False

        def scan(self, prefix: str = "") -> Any:
            if self.is_away:
                raise UnavailableError("no answer")
            return super().scan(prefix)

    away = Away(store)
    watcher = Watcher(away)
    watcher.scan()
    Sessions(store).add_turn("s", user=["x"], user_id="ada")
    away.is_away = True
    with pytest.raises(UnavailableError):
        watcher.scan()
    away.is_away = False
    assert told(watcher.scan()) == [("created", "s", 1)]


def test_watching_goes_on_and_on(store: StateStore) -> None:
    sessions = Sessions(store)
    numbers = iter(range(3))

    def act(_: float) -> None:
        sessions.add_turn("s", user=["x"] * (next(numbers) + 1), user_id="ada")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("statekeep.watching.watcher.time.sleep", act)
        changes = [*islice(watch(store), 3)]
    assert [(each.kind, each.added) for each in changes] == [
        ("created", 1),
        ("changed", 2),
        ("changed", 3),
    ]
