"""The test vectors of sessions in format 2: what must come of each file, whoever reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support import DATA, store_with_vector

from statekeep import Session, Sessions, errors
from statekeep.format.journal import decode_head, encode_head
from statekeep.store.keys import session_key

if TYPE_CHECKING:
    from statekeep.errors import StateStoreError

VECTORS = DATA / "journals"
CASES: dict[str, dict[str, Any]] = json.loads((VECTORS / "sessions.json").read_text())
READABLE = [name for name, case in CASES.items() if "error" not in case]
REFUSED = [name for name, case in CASES.items() if "error" in case]
KEY = session_key("plan")


def head(name: str) -> bytes:
    return (VECTORS / "sessions" / f"{name}.jsonl").read_bytes()


def sessions_with(name: str) -> Sessions:
    """A store in which that head lies, with all segments."""
    return Sessions(store_with_vector(KEY, head(name)))


def test_are_all_listed() -> None:
    assert {file.stem for file in (VECTORS / "sessions").iterdir()} == CASES.keys()
    described = (VECTORS / "README.md").read_text()
    assert all(f"`{name}`" in described for name in CASES)


@pytest.mark.parametrize("name", READABLE)
class TestWhatCanBeRead:
    def test_is_that_session(self, name: str) -> None:
        case, sessions = CASES[name], sessions_with(name)
        session = sessions.load("plan", required=True)
        expected = Session.from_json(json.dumps(case["session"]).encode())
        assert session.to_json() == expected.to_json()
        assert "".join(message.role[0] for message in session.messages) == case["roles"]
        (summary,) = sessions.list()
        assert summary.message_count == case["roles"].count("u")
        assert (summary.last_phase, summary.last_evaluation) == (
            case["last_phase"],
            case["last_evaluation"],
        )
        assert summary.updated_at == expected.updated_at

    def test_goes_on_from_there(self, name: str) -> None:
        case, sessions = CASES[name], sessions_with(name)
        sessions.add_turn("plan", user=["more"])
        session = sessions.load("plan", required=True)
        assert [message.content for message in session.messages][-1] == "more"
        assert len(session.messages) == len(case["roles"]) + 1
        blob = sessions.store.get(KEY)
        assert blob
        lines = decode_head(blob.data)
        assert (lines.n, lines.sound) == (case["n"] + 1, len(blob.data))

    def test_is_sealed_by_us_as_it_was(self, name: str) -> None:
        lines = decode_head(head(name))
        assert encode_head(lines.header, lines.changes) == head(name)[: lines.sound]

    def test_becomes_a_document_and_a_journal_again(self, name: str) -> None:
        sessions = sessions_with(name)
        before = sessions.load("plan", required=True)
        for form in ("document", "journal"):
            assert sessions.convert("plan", form)
            session = sessions.load("plan", required=True)
            assert session.messages == before.messages
            assert session.to_json() == before.to_json()

    def test_is_nothing_to_who_knows_format_1_alone(self, name: str) -> None:
        with pytest.raises(errors.StateStoreError):
            Session.from_json(head(name))
        # The original stops after the header, which is no session of anybody's.
        assert not {"id", "user_id", "created_at"} & json.loads(head(name).split(b"\n")[0]).keys()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_and_neither_changed_nor_passed_over(name: str) -> None:
    case, sessions = CASES[name], sessions_with(name)
    kind: type[StateStoreError] = getattr(errors, case["error"])
    with pytest.raises(kind, match=case["says"]):
        sessions.load("plan")
    with pytest.raises(kind, match=case["says"]):
        sessions.update("plan", lambda session: session.add_user_message("more"))
    (problem,) = sessions.list().problems
    assert problem.key == KEY
    blob = sessions.store.get(KEY)
    assert blob
    assert blob.data == head(name)


def test_a_key_of_the_caller_is_known_again() -> None:
    sessions = sessions_with("sound")
    assert sessions.add_turn("plan", user=["again"], key="request-41").message_count == 2
