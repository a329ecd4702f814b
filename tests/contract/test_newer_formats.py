"""What a newer version of statekeep wrote is refused by name, and neither replaced nor moved."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from statekeep import (
    Documents,
    InvalidKeyError,
    Session,
    Sessions,
    StateStore,
    UnsupportedError,
    load_pruner,
)
from statekeep.doctor import diagnose, repair
from statekeep.format.version import newer_format
from statekeep.store.keys import TRASH, session_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.store import ConflictPolicy

NEWER = [
    b'{"statekeep":3,"uid":"0123","n":0,"about":{"id":"s"}}\n{"n":1}\n',
    b'{"statekeep":4}',
    b'{"statekeep":20260101',
    b'{"statekeep":' + b"9" * 5000 + b"}",
]
KNOWN = [
    b'{"statekeep":2,"uid":"0123","n":0,"about":{"id":"s"}}\n{"n":1}\n',
    b'{"statekeep":1}',
    b'{"statekeep":0}',
    b'{"statekeep": 3}',
    b'{"statekeep":"3"}',
    b'{"statekeep":-3}',
    b' {"statekeep":3}',
    b"{}",
    b"",
]
KEY = session_key("s")
REFUSED = r"format \d+ .* upgrade statekeep"

pytestmark = pytest.mark.parametrize("backend", ["memory", "local, renaming", "sqlite"])


@pytest.fixture(params=["detect", "last-writer-wins"])
def sessions(request: pytest.FixtureRequest, store: StateStore) -> Sessions:
    policy: ConflictPolicy = request.param
    return Sessions(store, conflicts=policy)


def _holds(store: StateStore, data: bytes, key: str = KEY) -> None:
    blob = store.get(key)
    assert blob is not None, "it is gone"
    assert blob.data == data


@pytest.mark.parametrize("data", NEWER, ids=range(len(NEWER)))
def test_every_operation_on_the_session_refuses_it(
    sessions: Sessions, store: StateStore, data: bytes
) -> None:
    loaded = sessions.get_or_create("ada", "s")
    store.put(KEY, data)
    operations: list[Callable[[], object]] = [
        lambda: sessions.load("s"),
        lambda: sessions.save(loaded),
        lambda: sessions.save(Session.new("ada", "s")),
        lambda: sessions.save(Session.new("ada", "s"), overwrite=True),
        lambda: sessions.update("s", lambda session: session.add_user_message("x")),
        lambda: sessions.get_or_create("ada", "s"),
        lambda: sessions.delete("s"),
        lambda: sessions.delete("s", trash=True),
        lambda: sessions.pin("s"),
        lambda: sessions.unpin("s"),
    ]
    for operation in operations:
        with pytest.raises(UnsupportedError, match=REFUSED) as caught:
            operation()
        assert (caught.value.key, caught.value.store) == (KEY, str(store))
        _holds(store, data)
    assert [entry.key for entry in store.scan("sessions")] == [KEY]
    assert sessions.list_trash() == []


@pytest.mark.parametrize("data", NEWER, ids=range(len(NEWER)))
def test_a_listing_reports_it_and_a_prune_leaves_it(
    sessions: Sessions, store: StateStore, data: bytes
) -> None:
    store.put(KEY, data)
    sessions.get_or_create("ada", "old")
    (problem,) = sessions.list().problems
    assert problem.key == KEY
    assert "upgrade statekeep" in problem.reason
    report = sessions.prune(load_pruner("max-sessions", max_sessions=1), trash=timedelta(0))
    assert report.pruned == ()
    _holds(store, data)


@pytest.mark.parametrize("data", NEWER, ids=range(len(NEWER)))
def test_a_copy_of_it_stays_in_the_trash(
    sessions: Sessions, store: StateStore, data: bytes
) -> None:
    sessions.get_or_create("ada", "s")
    sessions.delete("s", trash=True)
    (copy,) = sessions.list_trash()
    store.put(copy.key, data)
    with pytest.raises(UnsupportedError, match="stays in the trash"):
        sessions.restore("s")
    _holds(store, data, copy.key)
    assert store.get(KEY) is None


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "sessions/deeper/s.json",
        "sessions/notes.md",
        "journals/agents/ada/thread.jsonl",
        f"{TRASH}/20240131T120000.000000Z-0123456789abcdef-s.json",
        f"{TRASH}/some/new/name.jsonl",
    ],
)
def test_a_repair_never_moves_it(store: StateStore, key: str) -> None:
    for data in NEWER:
        store.put(key, data)
        diagnosis = diagnose(store)
        found = [(finding.kind, finding.place, finding.action) for finding in diagnosis.problems]
        assert found == [("newer format", key, None)]
        assert not repair(store, diagnosis).healthy
        _holds(store, data, key)


def test_documents_name_it_and_write_nothing_beside_it(store: StateStore) -> None:
    store.put(KEY, NEWER[0])
    documents = Documents(store)
    with pytest.raises(UnsupportedError, match=REFUSED):
        documents.load_json("sessions", "s")
    for category in ("sessions", "journals", "journals/agents", "blobs/x", "Journals"):
        with pytest.raises(InvalidKeyError, match="is written through"):
            documents.save_json(category, "s", {})
        with pytest.raises(InvalidKeyError, match="is written through"):
            documents.delete(category, "s")
    documents.save_json("specs", "s", {"statekeep": 3})
    store.put("specs/newer.json", NEWER[1])
    assert documents.load_json("specs", "newer")


def test_documents_say_of_a_session_that_is_a_journal_who_reads_it(store: StateStore) -> None:
    session = Sessions(store, form="journal").get_or_create("ada", "s")
    with pytest.raises(UnsupportedError, match="stored as a journal; read it with Sessions"):
        Documents(store).load_json("sessions", session.id)


def test_only_what_begins_so_is_newer(backend: str) -> None:  # noqa: ARG001
    assert all(newer_format(data) for data in NEWER)
    assert not any(newer_format(data) for data in KNOWN)
