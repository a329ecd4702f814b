"""Observers hear how each operation ended, how long it took and what it cost."""

from __future__ import annotations

import inspect
import re
import threading
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    ANY,
    AsyncSessions,
    Blobs,
    Documents,
    Journal,
    Journals,
    NotFoundError,
    Retention,
    Session,
    Sessions,
    load_pruner,
)
from statekeep.errors import ClosedError
from statekeep.events import ConflictDetected, ConflictRetried, Event, OperationFinished
from statekeep.observe.emitter import count_request
from statekeep.store.keys import STAMP
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep import Version
    from statekeep.store import Blob, Capabilities, Expect, ExpectSeen

S = "sessions/s.json"


class Counting(MemoryStore):
    """Every read is a request."""

    def get(self, key: str) -> Blob | None:
        count_request()
        return super().get(key)


class Place:
    """A store with a session and a document, and what its observer was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.store = Counting()
        unobserved = Sessions(self.store)
        unobserved.save(Session.new("ada", "s"))
        unobserved.save(Session.new("ada", "gone"))
        unobserved.delete("gone", trash=True)
        Documents(self.store).save_json("a/b", "c", 1)
        self.sessions = Sessions(self.store, observers=[self.events.append])
        self.documents = Documents(self.store, observers=[self.events.append])
        unseen = Journals(self.store, "c")
        unseen.open("gone").create()
        unseen.open("gone").expire(datetime(2026, 1, 1, tzinfo=UTC))
        unseen.prune(load_pruner("expired"), trash=timedelta(days=7))
        self.store.delete(STAMP)  # else no prune would be due
        unseen.open("a").create([1])
        self.journals = Journals(self.store, "c", observers=[self.events.append])
        self.journal = self.journals.open("a")
        self.blobs = Blobs(self.store, "c", observers=[self.events.append])

    @property
    def operations(self) -> list[OperationFinished]:
        return [event for event in self.events if isinstance(event, OperationFinished)]

    def told(self) -> list[tuple[str, str | None, str]]:
        return [(each.operation, each.subject, each.outcome) for each in self.operations]


@pytest.fixture
def place() -> Place:
    return Place()


NOTHING = load_pruner("ttl")
CALLS: dict[str, tuple[str | None, Callable[[Place], Any]]] = {
    "Sessions.load": ("s", lambda p: p.sessions.load("s")),
    "Sessions.save": ("t", lambda p: p.sessions.save(Session.new("ada", "t"))),
    "Sessions.append": ("t", lambda p: p.sessions.append(Session.new("ada", "t"))),
    "Sessions.add_turn": ("s", lambda p: p.sessions.add_turn("s", user=["Hello"])),
    "Sessions.tail": ("s", lambda p: p.sessions.tail("s")),
    "Sessions.rewind": ("s", lambda p: p.sessions.rewind("s", messages=0)),
    "Sessions.convert": ("s", lambda p: p.sessions.convert("s", "journal")),
    "Sessions.update": ("s", lambda p: p.sessions.update("s", lambda _: None)),
    "Sessions.get_or_create": ("t", lambda p: p.sessions.get_or_create("ada", "t")),
    "Sessions.expire": ("s", lambda p: p.sessions.expire("s", None)),
    "Sessions.delete": ("s", lambda p: p.sessions.delete(session_id="s")),
    "Sessions.restore": ("gone", lambda p: p.sessions.restore("gone")),
    "Sessions.list_trash": (None, lambda p: p.sessions.list_trash()),
    "Sessions.empty_trash": (None, lambda p: p.sessions.empty_trash()),
    "Sessions.list": (None, lambda p: p.sessions.list()),
    "Sessions.count": (None, lambda p: p.sessions.count()),
    "Sessions.pin": ("s", lambda p: p.sessions.pin("s")),
    "Sessions.unpin": ("s", lambda p: p.sessions.unpin("s")),
    "Sessions.plan_prune": (None, lambda p: p.sessions.plan_prune(NOTHING)),
    "Sessions.prune": (None, lambda p: p.sessions.prune(NOTHING)),
    "Documents.save_json": ("a/b/c", lambda p: p.documents.save_json("a/b", "c", 2)),
    "Documents.load_json": ("a/b/c", lambda p: p.documents.load_json("a/b", name="c")),
    "Documents.save_markdown": ("a/m", lambda p: p.documents.save_markdown("a", "m", "# M")),
    "Documents.load_markdown": ("a/m", lambda p: p.documents.load_markdown("a", "m")),
    "Documents.update": ("a/b/c", lambda p: p.documents.update("a/b", "c", lambda n: n + 1)),
    "Documents.list": ("a/b", lambda p: p.documents.list("a/b")),
    "Documents.delete": ("a/b/c", lambda p: p.documents.delete("a/b", "c")),
    "Blobs.put": ("c/ada/a.gif", lambda p: p.blobs.put(b"", "ada", "a.gif")),
    "Blobs.get": ("c/ada/a.gif", lambda p: p.blobs.get("ada", "a.gif")),
    "Blobs.list": ("c/ada", lambda p: p.blobs.list("ada")),
    "Blobs.delete": ("c/ada/a.gif", lambda p: p.blobs.delete("ada", "a.gif")),
    "Blobs.delete_below": (None, lambda p: p.blobs.delete_below()),
    "Journals.head": ("c/a", lambda p: p.journal.head()),
    "Journals.create": ("c/new", lambda p: p.journals.open("new").create()),
    "Journals.append": ("c/a", lambda p: p.journal.append([1])),
    "Journals.load": ("c/a", lambda p: p.journal.load()),
    "Journals.read": ("c/a", lambda p: p.journal.read()),
    "Journals.change": ("c/a", lambda p: p.journal.change(lambda draft: draft.clear())),
    "Journals.fork": ("c/a", lambda p: p.journal.fork("b")),
    "Journals.attach": ("c/a", lambda p: p.journal.attach(b"", "a.gif")),
    "Journals.attachments": ("c/a", lambda p: p.journal.attachments([])),
    "Journals.detach": ("c/a", lambda p: p.journal.detach([])),
    "Journals.pin": ("c/a", lambda p: p.journal.pin()),
    "Journals.unpin": ("c/a", lambda p: p.journal.unpin()),
    "Journals.expire": ("c/a", lambda p: p.journal.expire(None)),
    "Journals.delete": ("c/a", lambda p: p.journal.delete()),
    "Journals.list": (None, lambda p: p.journals.list()),
    "Journals.count": (None, lambda p: p.journals.count()),
    "Journals.heads": (None, lambda p: p.journals.heads()),
    "Journals.delete_below": (None, lambda p: p.journals.delete_below("a")),
    "Journals.plan_prune": (None, lambda p: p.journals.plan_prune(NOTHING)),
    "Journals.prune": (None, lambda p: p.journals.prune(NOTHING)),
    "Journals.restore": ("c/gone", lambda p: p.journals.restore("gone")),
    "Journals.list_trash": (None, lambda p: p.journals.list_trash()),
    "Journals.empty_trash": (None, lambda p: p.journals.empty_trash()),
    "Journals.sweep": (None, lambda p: p.journals.sweep()),
}


class TestOperations:
    def test_are_all_that_sessions_and_documents_do(self) -> None:
        methods = {
            # A journal tells of what it does as one of its collection.
            f"{kind.__name__}.{name}".replace("Journal.", "Journals.")
            for kind in (Sessions, Journals, Journal, Documents, Blobs)
            for name, _ in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in {"close", "open"}
        }
        assert CALLS.keys() == methods

    @pytest.mark.parametrize("name", CALLS)
    def test_are_told_of_once_when_they_have_ended(self, place: Place, name: str) -> None:
        subject, call = CALLS[name]
        before = datetime.now(UTC)
        call(place)
        assert place.told() == [(name, subject, "ok")]
        assert place.events[-1] == place.operations[0]
        assert place.operations[0].store == str(place.store)
        assert before <= place.operations[0].started_at <= datetime.now(UTC)

    @pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("Journals.")])
    def test_of_what_was_closed_are_refused(self, place: Place, name: str) -> None:
        before = {entry.key: entry.fingerprint for entry in place.store.scan()}
        place.journals.close()
        with pytest.raises(ClosedError, match="this Journals was closed; open it again"):
            CALLS[name][1](place)
        assert {entry.key: entry.fingerprint for entry in place.store.scan()} == before

    def test_have_no_subject_when_it_is_new(self, place: Place) -> None:
        place.sessions.get_or_create("ada")
        place.documents.list()
        assert [each.subject for each in place.operations] == [None, None]

    def test_say_what_they_raised(self, place: Place) -> None:
        with pytest.raises(NotFoundError):
            place.sessions.update("t", lambda _: None)
        with pytest.raises(ZeroDivisionError):
            place.sessions.update("s", lambda _: 1 // 0)
        with pytest.raises(KeyboardInterrupt):
            place.documents.update("a/b", "c", _interrupt)
        assert place.told() == [
            ("Sessions.update", "t", "NotFoundError"),
            ("Sessions.update", "s", "ZeroDivisionError"),
            ("Documents.update", "a/b/c", "KeyboardInterrupt"),
        ]

    def test_say_how_long_they_took(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([100.0, 102.5])
        monkeypatch.setattr("statekeep.observe.emitter.perf_counter", lambda: next(clock))
        place.sessions.load("s")
        assert place.operations[0].duration == timedelta(seconds=2.5)

    def test_contain_what_they_do_on_their_object_and_nothing_else(self, place: Place) -> None:
        def change(session: Session) -> None:
            assert place.sessions.load("s") == session
            place.documents.save_json("a", "d", 1)

        place.sessions.update("s", change)
        place.sessions.load("s")
        assert [each.operation for each in place.operations] == [
            "Documents.save_json",
            "Sessions.update",
            "Sessions.load",
        ]

    def test_count_the_requests_that_the_store_sends(self, place: Place) -> None:
        place.sessions.load("s")
        place.sessions.update("s", lambda _: bool(place.sessions.load("s")))
        place.documents.save_json("a", "d", 1)
        count_request()
        assert [each.requests for each in place.operations] == [1, 2, 0]

    def test_are_logged_for_those_who_debug(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = Sessions(place.store)
        sessions.load("s")
        assert caplog.records == []
        with caplog.at_level("DEBUG", logger="statekeep"):
            sessions.update("s", lambda _: None)
            with pytest.raises(NotFoundError):
                sessions.pin("\nforged")
        done, failed = (record.getMessage() for record in caplog.records)
        assert re.fullmatch(r"Sessions\.update 's': ok in \d+\.\d ms, 1 requests, on memory:", done)
        assert failed.startswith(r"Sessions.pin '\nforged': NotFoundError in ")

    @pytest.mark.anyio
    async def test_count_them_in_the_thread_of_an_asynchronous_one(self) -> None:
        events: list[Event] = []
        async with AsyncSessions(Counting(), observers=[events.append]) as sessions:
            await sessions.load("s")
        (event,) = events
        assert isinstance(event, OperationFinished)
        assert (event.operation, event.subject, event.requests) == ("Sessions.load", "s", 1)

    def test_can_be_a_prune_in_the_background(self, place: Place) -> None:
        retention = Retention(NOTHING)
        with Sessions(place.store, observers=[place.events.append], retention=retention) as pruning:
            pruning.save(Session.new("ada", "t"))
        assert sorted(place.told()) == [
            ("Sessions.prune_in_background", None, "ok"),
            ("Sessions.save", "t", "ok"),
        ]

    def test_are_known_to_observers_in_the_threads_of_a_prune(self, place: Place) -> None:
        caller: ContextVar[str] = ContextVar("caller")
        heard: list[str] = []

        class Slow(Counting):
            """Far away, so that a prune deletes many at once."""

            @property
            def capabilities(self) -> Capabilities:
                return replace(super().capabilities, remote=True)

            def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
                count_request()
                super().delete(key, expect=expect)

        store = Slow()
        for name in "abcd":
            Sessions(store).save(Session.new("ada", name))

        def note(_: Event) -> None:
            heard.append(caller.get())
            threads.add(threading.current_thread())

        observers = [note, place.events.append]
        threads: set[threading.Thread] = set()
        caller.set("me")
        Sessions(store, observers=observers).prune(load_pruner("max-sessions", max_sessions=1))
        assert heard == ["me"] * 5
        assert len(threads) > 1
        # And one for the stamp and one for the candidates of a sweep.
        assert place.operations[0].requests == 4 + 3 + 1 + 1

    @pytest.mark.parametrize("name", CALLS)
    def test_build_no_event_that_nobody_hears(
        self, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.sessions = Sessions(place.store)
        place.documents = Documents(place.store)
        place.journals = Journals(place.store, "c")
        place.journal = place.journals.open("a")
        place.blobs = Blobs(place.store, "c")
        place.store.put("sessions/bad.json", b"")

        def build(*_: object, **__: object) -> None:
            raise AssertionError("an event was built")

        for event in Event.__subclasses__():
            monkeypatch.setattr(event, "__init__", build)
        CALLS[name][1](place)


class Contested(MemoryStore):
    """Someone else comes before each of the next writes to a key."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def put(self, key: str, data: bytes, *, expect: Expect) -> Version:  # type: ignore[override]
        self._come_between(key)
        return super().put(key, data, expect=expect)

    def delete(self, key: str, *, expect: Expect) -> None:  # type: ignore[override]
        self._come_between(key)
        super().delete(key, expect=expect)  # type: ignore[arg-type]

    def _come_between(self, key: str) -> None:
        blob = self.get(key)
        if blob and self.times:
            self.times -= 1
            super().put(key, blob.data + b" ")


@pytest.mark.parametrize(
    ("key", "operation"),
    [
        (S, lambda s, _: s.update("s", lambda _: None)),
        (S, lambda s, _: s.delete("s")),
        ("a/b.json", lambda _, d: d.update("a", "b", lambda old: old)),
        ("a/b.json", lambda _, d: d.delete("a", "b")),
    ],
)
def test_each_conflict_and_each_retry_is_told_of(
    key: str, operation: Callable[[Sessions, Documents], Any]
) -> None:
    store = Contested(times=0)
    Sessions(store).get_or_create("ada", "s")
    Documents(store).save_json("a", "b", 1)
    store.times = 2
    events: list[Event] = []
    operation(
        Sessions(store, observers=[events.append]), Documents(store, observers=[events.append])
    )
    where = str(store)
    assert events[:4] == [
        ConflictDetected(where, key),
        ConflictRetried(where, key, 1),
        ConflictDetected(where, key),
        ConflictRetried(where, key, 2),
    ]
    assert [type(event).__name__ for event in events[5:]] == ["OperationFinished"]


def _interrupt(_: object) -> None:
    raise KeyboardInterrupt
