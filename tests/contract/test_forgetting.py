"""What a change forgets is gone at once, from wherever it lay."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import SKIP, CorruptDataError, Journals, StateStore, load_pruner, open_store
from statekeep.format.contents import BOUNDS
from statekeep.retention.sweeping import CANDIDATES
from statekeep.store.keys import SEGMENTS, TRASH
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep.journals import Draft
    from statekeep.store import Expect, Version

SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def _low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOUNDS, "lines", 1000)
    monkeypatch.setattr(BOUNDS, "kept", 300)


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    with open_store("memory:" if request.param == "memory" else str(tmp_path / "state")) as opened:
        yield opened


def fill(store: StateStore, place: int, count: int = 40) -> None:
    """A journal with segments, in which one item is a secret."""
    journal = Journals(store, "agents").open("ada")
    for number in range(count):
        journal.append([{"n": number, "text": SECRET if number == place else "x" * 40}])


def holders(store: StateStore) -> list[str]:
    """The keys of all documents in which the secret is."""
    found = []
    for entry in store.scan():
        blob = store.get(entry.key)
        if blob is not None and SECRET.encode() in blob.data:
            found.append(entry.key)
    return found


def numbers(store: StateStore) -> list[int]:
    items = Journals(store, "agents").open("ada").read()
    assert items is not None
    return [each["n"] for each in items]


CHANGES: dict[str, tuple[int, Callable[[Draft], Any], list[int]]] = {
    "replacing an old item": (
        1,
        lambda draft: draft.replace(1, {"n": -1}),
        [0, -1, *range(2, 40)],
    ),
    "replacing the last item": (
        39,
        lambda draft: draft.replace(-1, {"n": -1}),
        [*range(39), -1],
    ),
    "truncating": (30, lambda draft: draft.truncate(3), [0, 1, 2]),
    "truncating within a segment": (5, lambda draft: draft.truncate(5), [0, 1, 2, 3, 4]),
    "clearing": (10, lambda draft: draft.clear(), []),
    "popping from the lines": (39, lambda draft: draft.pop(), [*range(39)]),
    "popping into a segment": (
        20,
        lambda draft: [draft.pop() for _ in range(20)],
        [*range(20)],
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_is_left_of_what_went_by(store: StateStore, what: str) -> None:
    place, act, left = CHANGES[what]
    fill(store, place)
    assert holders(store)

    def change(draft: Draft) -> None:
        act(draft)
        draft.forget = True

    Journals(store, "agents").open("ada").change(change)
    assert holders(store) == []
    assert numbers(store) == left


def test_without_forgetting_it_waits_for_the_sweep(store: StateStore) -> None:
    fill(store, 1)
    Journals(store, "agents").open("ada").change(lambda draft: draft.clear())
    assert holders(store)
    assert all(key.startswith(SEGMENTS) for key in holders(store))
    assert CANDIDATES not in holders(store)


def test_metadata_is_forgotten_as_well(store: StateStore) -> None:
    fill(store, -1)
    journal = Journals(store, "agents").open("ada")
    journal.append([{"n": 40}], set={"token": SECRET, "kept": 1})

    def change(draft: Draft) -> None:
        del draft.metadata["token"]
        draft.forget = True

    journal.change(change)
    assert holders(store) == []
    head = journal.head()
    assert head is not None
    assert head.metadata == {"kept": 1}
    assert numbers(store) == [*range(41)]


def test_copies_in_the_trash_are_forgotten_as_well(store: StateStore) -> None:
    journals = Journals(store, "agents")
    fill(store, 1)
    Journals(store, "agents").open("bob").append([SECRET])
    journals.prune(load_pruner("max-sessions", max_sessions=1), trash=timedelta(days=1))
    assert [key for key in holders(store) if key.startswith(f"{TRASH}/")] == []  # in its segment
    journals.restore("ada")
    journal = journals.open("ada")
    journal.change(lambda draft: draft.append([{"n": 40, "text": SECRET}]))
    copy = store.get("journals/agents/ada.jsonl")
    assert copy is not None
    at = f"{TRASH}/20300101T000000.000000Z-unknown-0123456789abcdef-0123456789abcdef"
    store.put(f"{at}/journals/agents/ada.jsonl", copy.data)
    store.put(f"{at}/journals/agents/bob.jsonl", b"another's")

    def change(draft: Draft) -> None:
        draft.clear()
        draft.forget = True

    journal.change(change)
    assert holders(store) == ["journals/agents/bob.jsonl"]
    assert store.get(f"{at}/journals/agents/bob.jsonl") is not None


def test_an_older_copy_cannot_come_back_in_part(store: StateStore) -> None:
    fill(store, 1)
    blob = store.get("journals/agents/ada.jsonl")
    assert blob is not None

    def change(draft: Draft) -> None:
        draft.clear()
        draft.forget = True

    journals = Journals(store, "agents")
    journals.open("ada").change(change)
    store.put("journals/agents/ada.jsonl", blob.data)
    with pytest.raises(CorruptDataError, match="which is missing"):
        Journals(store, "agents").open("ada").read()


class Between(MemoryStore):
    """Calls something right after a segment was put."""

    act: Callable[[], object] | None = None

    def put(self, key: str, data: bytes, *, expect: Expect) -> Version:  # type: ignore[override]
        version = super().put(key, data, expect=expect)
        if self.act is not None and key.startswith(SEGMENTS):
            act, self.act = self.act, None
            act()
        return version


def test_who_has_put_a_segment_meanwhile_loses_nothing() -> None:
    store = Between()
    fill(store, 1)
    other = Journals(store, "agents").open("ada")
    other.read()

    def forget() -> None:
        def change(draft: Draft) -> None:
            draft.replace(1, {"n": -1})
            draft.forget = True

        Journals(store, "agents").open("ada").change(change)

    store.act = forget
    other.append([{"n": 40 + number, "text": "y" * 40} for number in range(20)])
    assert store.act is None
    assert numbers(store) == [0, -1, *range(2, 60)]
    assert holders(store) == []


def test_if_nothing_is_written_nothing_is_deleted(store: StateStore) -> None:
    fill(store, 1)
    before = sorted(entry.key for entry in store.scan())

    def change(draft: Draft) -> object:
        draft.clear()
        draft.forget = True
        return SKIP

    Journals(store, "agents").open("ada").change(change)
    assert sorted(entry.key for entry in store.scan()) == before
