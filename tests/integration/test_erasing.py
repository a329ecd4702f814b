"""No byte of an erased user's id is left, on a disk and in a file of SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from statekeep import Blobs, Documents, Journals, Sessions, StateStore, load_pruner, open_store
from statekeep.doctor import diagnose, repair
from statekeep.erasure import erase_user, plan_erasure
from statekeep.format.contents import BOUNDS
from statekeep.heads import index as index_module
from statekeep.store.keys import ATTACHMENTS, CACHE, QUARANTINE, SEGMENTS, TRASH
from statekeep_backends.local import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from statekeep.journals import Draft

ADA, BOB = "ada-5f0c2b", "bob"
DOCUMENTS = ["users/ada-5f0c2b/*", "blobs/plots/ada-5f0c2b/*"]


@pytest.fixture(autouse=True)
def _low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOUNDS, "lines", 1000)
    monkeypatch.setattr(BOUNDS, "kept", 300)
    # So that an index is written of a few young heads.
    monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)
    monkeypatch.setattr(index_module, "_FEW", 0)
    monkeypatch.setattr(index_module, "_MANY", 0)


@pytest.fixture(params=["file:{}", "sqlite:{}/state.db", "sqlite:{}/state.db?durability=normal"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    with open_store(request.param.format(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def fill(store: StateStore, user: str) -> None:
    """Whatever a user can have, in the store's every corner."""
    for form in ("document", "journal"):
        sessions = Sessions(store, form=form)
        for n in range(3):
            session = sessions.get_or_create(user, f"{form}-{n}-of-{user}")
            session.add_user_message(f"Hello, I am {user}")
            sessions.save(session)
        sessions.delete(f"{form}-1-of-{user}", trash=True)
    for collection in ("support", "agents"):
        journals = Journals(store, collection)
        for name in ("kept", "thrown away"):
            journal = journals.open(user, name, user_id=user)
            for n in range(30):
                journal.append([{"n": n, "from": user, "text": "x" * 40}])

            def attach(draft: Draft) -> None:
                draft.append([{"file": draft.attach(f"of {user}".encode(), "note.txt")}])

            journal.change(attach)
        journals.list()
    Sessions(store).list()
    Documents(store).save_markdown(f"users/{user}", "profile", f"# {user}")
    Blobs(store, "plots").put(user.encode(), user, "a.bin")


def throw_away(store: StateStore, user: str) -> None:
    everything = load_pruner("max-sessions", max_sessions=1)
    for collection in ("support", "agents"):
        journals = Journals(store, collection)
        journals.open("newest").append([], set={"statekeep.pin": True})
        kept = {each.id for each in journals.list() if each.name != (user, "thrown away")}
        journals.open("newer still").append([])
        journals.prune(everything, protect=kept, trash=timedelta(days=7))


def damage(store: StateStore, user: str) -> None:
    """Sessions and a journal that come into quarantine."""
    whole = store.get(f"sessions/document-0-of-{user}.json")
    assert whole
    store.put("sessions/misplaced.json", whole.data)
    torn = json.dumps(json.loads(whole.data), indent=1).encode()[:-20]
    store.put("sessions/torn.json", torn)
    head = next(e.key for e in store.scan(f"journals/agents/{user}"))
    blob = store.get(head)
    assert blob
    lines = blob.data.split(b"\n")
    store.put("journals/agents/broken.jsonl", b"\n".join([lines[0], b"{", *lines[1:]]))
    report = repair(store, diagnose(store))
    assert len(report.repaired) >= 3


def holders(folder: Path, text: str) -> list[str]:
    """What of a folder has a text in its name or bytes."""
    found = []
    for path in folder.rglob("*"):
        names = {text.encode(), quote(text).encode()}
        held = str(path.relative_to(folder)).encode()
        if path.is_file():
            held += path.read_bytes()
        if any(name in held for name in names):
            found.append(str(path))
    return found


def keys(store: StateStore, prefix: str) -> list[str]:
    return [entry.key for entry in store.scan(prefix)]


def test_no_byte_of_the_id_is_left(store: StateStore, folder: Path) -> None:
    fill(store, ADA)
    fill(store, BOB)
    throw_away(store, ADA)
    damage(store, ADA)
    for prefix in (TRASH, QUARANTINE, SEGMENTS, ATTACHMENTS):
        assert keys(store, prefix), prefix
    assert keys(store, CACHE) or str(store).startswith("sqlite")
    assert holders(folder, ADA)
    plan = plan_erasure(store, ADA, documents=DOCUMENTS)
    assert any(each.kind == "index" for each in plan.victims) == bool(keys(store, CACHE))
    assert {each.kind for each in plan.victims} >= {
        "session", "journal", "trashed", "quarantined", "document", "blob", "segment", "attachment",
    }  # fmt: skip
    report = erase_user(store, ADA, documents=DOCUMENTS, verify="everything")
    assert report.complete, report
    assert (report.mentions, report.skipped) == ((), ())
    users = folder / "users" / ADA
    if users.exists():  # a folder of documents stays, as the report says
        assert report.remains
        users.rmdir()
    assert holders(folder, ADA) == []


def test_the_others_keep_all(store: StateStore) -> None:
    fill(store, BOB)
    before = {key: store.get(key) for key in keys(store, "") if not key.startswith(CACHE)}
    fill(store, ADA)
    erase_user(store, ADA, documents=DOCUMENTS)
    for key, blob in before.items():
        now = store.get(key)
        assert now
        assert blob
        assert now.data == blob.data, key
    journal = Journals(store, "agents").open(BOB, "kept")
    items = journal.read()
    assert items is not None
    assert len(items) == 31
    assert diagnose(store).healthy


def test_a_log_that_is_being_read_is_reported_and_a_second_run_empties_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with open_store(f"sqlite:{path}?durability=normal&busy_timeout=0.1") as store:
        Sessions(store).get_or_create(ADA, "hers")
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM documents").fetchone()
            report = erase_user(store, ADA)
            assert [each.key for each in report.erased] == ["sessions/hers.json"]
            (failure,) = report.failed
            assert failure.victim is None
            assert not report.complete
            reader.execute("COMMIT")
        report = erase_user(store, ADA)
        assert report.complete
        assert holders(tmp_path, ADA) == []
