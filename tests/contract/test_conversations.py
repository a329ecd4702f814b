"""Reading and following conversations, over every store."""

from __future__ import annotations

import random
from datetime import timedelta
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import CorruptDataError, Journals, Sessions
from statekeep.conversations import Conversation
from statekeep.store import StoreWrapper
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import StateStore
    from statekeep.conversations import Excerpt
    from statekeep.sessions.repository import Form
    from statekeep.store import Blob

AT_ONCE = timedelta(0)
FORMS = pytest.mark.parametrize("form", ["document", "journal"])


def indices(found: Excerpt | None) -> list[int]:
    assert found is not None
    return [entry.index for entry in found.entries]


def speak(store: StateStore, form: Form, count: int) -> Sessions:
    sessions = Sessions(store, form=form)
    session = sessions.get_or_create("ada", "s")
    for number in range(count):
        if number % 3 == 2:
            session.add_agent_response(f"{number}", phase_reached="plan", type="reasoning")
        else:
            session.add_user_message(f"{number}", payload={"content": "no"}, role="no")
    sessions.save(session)
    return sessions


@FORMS
def test_a_range_of_a_session_is_that_of_the_whole(store: StateStore, form: Form) -> None:
    speak(store, form, 9)
    conversation = Conversation(store, "s")
    whole = conversation.load()
    assert whole is not None
    assert [entry.parts[0].text for entry in whole.entries] == [str(each) for each in range(9)]
    assert [entry.role for entry in whole.entries] == ["user", "user", "agent"] * 3
    assert [entry.phase for entry in whole.entries] == [None, None, "plan"] * 3
    assert all(entry.timestamp for entry in whole.entries)
    assert (whole.user_id, whole.length, whole.start) == ("ada", 9, 0)
    for start, stop in [(0, 3), (4, None), (-2, None), (20, None), (3, 2), (0, 99)]:
        part = conversation.load(start=start, stop=stop)
        assert part is not None
        assert [*part.entries] == [*whole.entries][start:stop]
        assert part.length == 9
    for last in (0, 1, 4, 50):
        found = conversation.load(last=last)
        assert indices(found) == [*range(9)][9 - min(last, 9) :]


def test_a_range_of_a_journal_is_that_of_the_whole(store: StateStore) -> None:
    journal = Journals(store, "c").open("a", "b")
    texts = [f"{number} " + "x" * 900 for number in range(200)]
    for start in range(0, 200, 20):
        journal.append([{"role": "user", "content": text} for text in texts[start : start + 20]])
    conversation = Conversation(store, "a", "b", collection="c")
    for start, stop in [(0, None), (10, 130), (-3, None), (150, 151), (400, None)]:
        part = conversation.load(start=start, stop=stop)
        assert part is not None
        assert [entry.parts[0].text for entry in part.entries] == texts[start:stop]
    read = [entry for part in conversation.parts() for entry in part.entries]
    assert [entry.index for entry in read] == [*range(200)]
    assert [entry.parts[0].text for entry in read] == texts


@FORMS
def test_parts_are_the_whole(store: StateStore, form: Form) -> None:
    speak(store, form, 130)
    conversation = Conversation(store, "s")
    for given in ({}, {"last": 70}, {"last": 0}, {"start": 100}, {"start": 3, "stop": 61}):
        parts = [*conversation.parts(**given)]
        found = conversation.load(**given)
        assert found is not None
        assert [entry for part in parts for entry in part.entries] == [*found.entries]
        assert max(len(part.entries) for part in parts) <= 80
        assert {part.length for part in parts} == {130}


def test_what_is_not_there_has_no_parts(store: StateStore) -> None:
    for conversation in (Conversation(store, "s"), Conversation(store, "s", collection="c")):
        assert conversation.load() is None
        assert [*conversation.parts()] == []
        assert [*conversation.follow()] == []


def test_what_makes_no_sense_is_refused(store: StateStore) -> None:
    conversation = Conversation(store, "s")
    for given in ({"last": -1}, {"last": 1, "start": 1}, {"last": 1, "stop": 1}):
        for read in (conversation.load, conversation.parts):
            with pytest.raises(ValueError, match="last"):
                read(**given)
    with pytest.raises(ValueError, match="stop"):
        conversation.parts(stop=-1)
    with pytest.raises(ValueError, match="last"):
        conversation.follow(last=1, start=2)
    with pytest.raises(TypeError, match="one id"):
        Conversation(store, "a", "b")


class Reader:
    """Takes what a conversation gives, as somebody who is shown it."""

    def __init__(self, found: Iterator[Excerpt]) -> None:
        self.found = found
        self.shown: list[Any] = []

    def take(self, length: int) -> list[Any]:
        """Take until so many entries are shown, or the end."""
        for excerpt in self.found:
            del self.shown[excerpt.start :]
            self.shown += [entry.raw for entry in excerpt.entries]
            if len(self.shown) == length and excerpt.length == length:
                break
        return self.shown


@FORMS
def test_a_session_is_followed(store: StateStore, form: Form) -> None:
    sessions = speak(store, form, 3)

    def said(count: int) -> list[str]:
        return [each["content"] for each in reader.take(count)]

    reader = Reader(Conversation(store, "s").follow(every=AT_ONCE))
    assert said(3) == ["0", "1", "2"]
    sessions.add_turn("s", user=["a"], agent=["b"])
    assert said(5) == ["0", "1", "2", "a", "b"]
    sessions.rewind("s", messages=2)
    assert said(2) == ["0", "1"]
    sessions.add_turn("s", user=["c"], agent=["d"])
    assert said(4) == ["0", "1", "c", "d"]
    sessions.rewind("s", messages=3)
    sessions.add_turn("s", user=["e"], agent=["f", "g"])
    assert said(6) == ["0", "1", "c", "e", "f", "g"]
    sessions.delete("s")
    speak(store, form, 4)
    assert said(4) == ["0", "1", "2", "3"]
    sessions.delete("s")
    assert [*reader.found] == []


def test_a_journal_is_followed_through_all_that_happens_to_it(store: StateStore) -> None:
    journal = Journals(store, "c").open("j")
    journal.append([0, 1, 2])
    reader = Reader(Conversation(store, "j", collection="c").follow(every=AT_ONCE))
    assert reader.take(3) == [0, 1, 2]
    journal.append([3])
    assert reader.take(4) == [0, 1, 2, 3]
    journal.change(lambda draft: draft.pop())
    journal.append([4, 5])
    assert reader.take(5) == [0, 1, 2, 4, 5]
    journal.change(lambda draft: draft.truncate(1))
    assert reader.take(1) == [0]
    journal.change(lambda draft: draft.clear())
    assert reader.take(0) == []
    journal.append([*range(5)])
    assert reader.take(5) == [0, 1, 2, 3, 4]
    journal.delete()
    journal.append([*range(4)])
    assert reader.take(4) == [0, 1, 2, 3]
    journal.delete()
    assert reader.take(-1) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_appended_and_taken_back_is_seen(
    store: StateStore, seed: int, rounds: Callable[[int], int]
) -> None:
    chance = random.Random(seed)
    journal = Journals(store, "c").open("j")
    journal.append([{"text": "first"}])
    reader = Reader(Conversation(store, "j", collection="c").follow(every=AT_ONCE))
    expected: list[Any] = [{"text": "first"}]
    reader.take(1)
    for number in range(rounds(500)):
        before = [*expected]
        while expected == before or len(expected) == len(reader.shown):
            if chance.random() < 0.4 and len(expected) > 1:
                length = chance.randrange(1, len(expected))
                journal.change(methodcaller("truncate", length))
                del expected[length:]
            else:
                items = [{"text": f"{number} {each}"} for each in range(chance.randrange(1, 9))]
                journal.append(items)
                expected += items
        assert reader.take(len(expected)) == expected


def test_following_may_begin_at_the_end(store: StateStore) -> None:
    journal = Journals(store, "c").open("j")
    journal.append([*range(9)])
    conversation = Conversation(store, "j", collection="c")
    followed = [conversation.follow(last=2, every=AT_ONCE), conversation.follow(last=0)]
    first, second = [next(each) for each in followed]
    assert (first.start, indices(first)) == (7, [7, 8])
    assert (second.start, indices(second)) == (9, [])
    journal.change(lambda draft: draft.truncate(3))
    gone = next(followed[0])
    assert (gone.start, gone.entries) == (3, ())


class Counting(StoreWrapper):
    """Counts what is read."""

    def __init__(self, store: StateStore) -> None:
        super().__init__(store)
        self.read: list[str] = []

    def get(self, key: str) -> Blob | None:
        self.read.append(key)
        return super().get(key)


def test_looking_costs_one_request_and_what_is_new_no_old_segment() -> None:
    store = Counting(MemoryStore())
    journal = Journals(store, "c").open("j")
    for _ in range(10):
        journal.append([{"content": "x" * 900} for _ in range(100)])
    assert len(store.read) > 0
    conversation = Conversation(store, "j", collection="c")
    followed = conversation.follow(every=AT_ONCE)
    shown = 0
    while shown < 1000:
        shown += len(next(followed).entries)
    looks = 0

    def looked(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            journal.append([{"content": "new"}])
            store.read.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("statekeep.conversations.following.time.sleep", looked)
        store.read.clear()
        assert indices(next(followed)) == [1000]
    assert looks == 5
    assert {key for key in store.read if key.startswith("journals/")} == {"journals/c/j.jsonl"}
    assert len([key for key in store.read if "segments" in key]) <= 1


def test_what_is_damaged_is_no_end(store: StateStore) -> None:
    journal = Journals(store, "c").open("j")
    journal.append([1])
    followed = Conversation(store, "j", collection="c").follow(every=AT_ONCE)
    next(followed)
    store.put("journals/c/j.jsonl", b"{}")
    with pytest.raises(CorruptDataError):
        next(followed)
