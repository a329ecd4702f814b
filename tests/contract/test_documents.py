"""What `Documents` promises over every store."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field
from support import facts

from statekeep import (
    ABSENT,
    ConflictError,
    CorruptDataError,
    Documents,
    InvalidDocumentError,
    InvalidKeyError,
    Session,
    Sessions,
    StateStore,
)
from statekeep.events import ConflictDetected, DocumentDeleted, DocumentSaved, Event


class Limits(BaseModel):
    tokens: int
    until: datetime | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int


@pytest.fixture
def documents(store: StateStore) -> Documents:
    return Documents(store)


class TestJson:
    @pytest.mark.parametrize(
        "value", [None, True, 0, -1.5, "text", [], {}, [1, [2, {"é": None}]], {"b": 1, "a": 2}]
    )
    def test_any_value_comes_back(self, documents: Documents, value: Any) -> None:
        version = documents.save_json("specs/v1", "plan", value)
        loaded = documents.load_json("specs/v1", "plan")
        assert loaded is not None
        assert (loaded.value, loaded.version) == (value, version)

    def test_what_is_not_there_is_none(self, documents: Documents) -> None:
        assert documents.load_json("specs", "plan") is None

    def test_is_written_in_the_format(self, documents: Documents, store: StateStore) -> None:
        documents.save_json("specs", "plan", {"é": [1, []], "a": {}})
        blob = store.get("specs/plan.json")
        assert blob is not None
        assert blob.data.decode() == '{\n  "é": [\n    1,\n    []\n  ],\n  "a": {}\n}'

    @pytest.mark.parametrize(
        "value", [float("nan"), {1, 2}, b"x", 2**64, {"a": object()}, "\ud800"]
    )
    def test_what_json_cannot_hold_is_refused_and_changes_nothing(
        self, documents: Documents, value: Any
    ) -> None:
        documents.save_json("specs", "plan", 1)
        with pytest.raises(InvalidDocumentError):
            documents.save_json("specs", "plan", value)
        kept = documents.load_json("specs", "plan")
        assert kept is not None
        assert kept.value == 1

    def test_a_model_is_saved_and_loaded_as_such(self, documents: Documents) -> None:
        limits = Limits(tokens=5, until=datetime(2030, 1, 1, tzinfo=UTC))
        documents.save_json("specs", "limits", limits)
        loaded = documents.load_json("specs", "limits", type=Limits)
        assert loaded is not None
        assert loaded.value == limits

    def test_so_is_whatever_pydantic_takes(self, documents: Documents) -> None:
        points = [Point(1, 2), Point(3, 4)]
        documents.save_json("specs", "points", points, type=list[Point])
        loaded = documents.load_json("specs", "points", type=list[Point])
        assert loaded is not None
        assert loaded.value == points

    def test_a_value_that_is_not_of_its_type_is_refused(self, documents: Documents) -> None:
        with pytest.raises(InvalidDocumentError, match="tokens"):
            documents.save_json("specs", "limits", {"tokens": "many"}, type=Limits)
        assert documents.list() == ()

    def test_a_document_of_another_type_is_said_to_be(self, documents: Documents) -> None:
        documents.save_json("specs", "limits", {"tokens": "many"})
        with pytest.raises(CorruptDataError, match="tokens"):
            documents.load_json("specs", "limits", type=Limits)

    @pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"\xef\xbb\xbf1", b"1 2"])
    def test_what_is_not_json_is_said_to_be(
        self, documents: Documents, store: StateStore, data: bytes
    ) -> None:
        store.put("specs/plan.json", data)
        with pytest.raises(CorruptDataError) as caught:
            documents.load_json("specs", "plan")
        assert (caught.value.key, caught.value.store) == ("specs/plan.json", str(store))


class TestMarkdown:
    @pytest.mark.parametrize("text", ["", "# é\r\n\n", "\ufeff# with a mark", "no newline", "\0"])
    def test_text_comes_back_to_the_letter(
        self, documents: Documents, store: StateStore, text: str
    ) -> None:
        documents.save_markdown(".", "readme", text)
        loaded = documents.load_markdown(".", "readme")
        assert loaded is not None
        assert loaded.value == text
        blob = store.get("readme.md")
        assert blob is not None
        assert blob.data == text.encode()

    def test_what_is_not_text_is_said_to_be(self, documents: Documents, store: StateStore) -> None:
        store.put("readme.md", b"\xff")
        with pytest.raises(CorruptDataError, match="UTF-8"):
            documents.load_markdown(".", "readme")
        with pytest.raises(InvalidDocumentError):
            documents.save_markdown(".", "other", "\ud800")
        assert documents.load_markdown(".", "other") is None


class TestExpectations:
    def test_are_kept_for_both_kinds(self, documents: Documents) -> None:
        for save in (documents.save_json, documents.save_markdown):
            first = save("a", "b", "1", expect=ABSENT)
            with pytest.raises(ConflictError):
                save("a", "b", "2", expect=ABSENT)
            save("a", "b", "3", expect=first)
            with pytest.raises(ConflictError):
                save("a", "b", "4", expect=first)

    def test_an_update_sees_what_others_saved_meanwhile(self, documents: Documents) -> None:
        documents.save_json("a", "counter", 0)
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda _: documents.update("a", "counter", lambda value: value + 1), range(40)
                )
            )
        loaded = documents.load_json("a", "counter")
        assert loaded is not None
        assert loaded.value == 40

    def test_an_update_may_create(self, documents: Documents) -> None:
        documents.update("a", "log", lambda text: (text or "") + "line\n", kind="md")
        updated = documents.update("a", "log", lambda text: (text or "") + "line\n", kind="md")
        assert updated.value == "line\nline\n"
        limits = documents.update("a", "limits", lambda _: Limits(tokens=1), type=Limits)
        assert documents.load_json("a", "limits", type=Limits) is not None
        assert limits.value == Limits(tokens=1)

    def test_an_update_of_markdown_gives_text(self, documents: Documents) -> None:
        with pytest.raises(InvalidDocumentError, match="text"):
            documents.update("a", "log", lambda _: 1, kind="md")


class TestListing:
    def test_yields_each_with_its_kind(self, documents: Documents) -> None:
        documents.save_json("specs/v1", "plan", {})
        documents.save_markdown("specs/v1", "plan", "text")
        documents.save_markdown("specs/v1", "a.b", "")
        documents.save_markdown("specs", "readme", "")
        documents.save_json(".", "root", 1)
        assert [(each.name, each.kind, each.size) for each in documents.list("specs/v1")] == [
            ("a.b", "md", 0),
            ("plan", "json", 2),
            ("plan", "md", 4),
        ]
        assert [each.name for each in documents.list(".")] == ["root"]
        assert [each.name for each in documents.list("specs")] == ["readme"]
        assert [(each.category, each.name) for each in documents.list()] == [
            (".", "root"),
            ("specs", "readme"),
            ("specs/v1", "a.b"),
            ("specs/v1", "plan"),
            ("specs/v1", "plan"),
        ]

    def test_of_a_category_that_is_not_there_is_empty(self, documents: Documents) -> None:
        assert documents.list("nothing/here") == ()
        assert documents.list() == ()

    def test_leaves_out_what_is_no_document(self, documents: Documents, store: StateStore) -> None:
        Sessions(store).get_or_create("ada", "s")
        store.put("a/picture.png", b"")
        store.put(".statekeep/own.json", b"")
        assert documents.list() == ()
        assert documents.list("a") == ()
        assert [each.name for each in documents.list("sessions")] == ["s"]


class TestDeleting:
    def test_says_whether_there_was_one(self, documents: Documents) -> None:
        documents.save_markdown("a", "b", "")
        assert documents.delete("a", "b") is True
        assert documents.delete("a", "b") is False
        assert documents.delete("a", "b", kind="json") is False

    def test_without_a_kind_is_refused_where_both_exist(self, documents: Documents) -> None:
        documents.save_markdown("a", "b", "")
        documents.save_json("a", "b", 1)
        with pytest.raises(InvalidKeyError, match="kind"):
            documents.delete("a", "b")
        assert len(documents.list("a")) == 2
        assert documents.delete("a", "b", kind="json")
        assert [each.kind for each in documents.list("a")] == ["md"]
        assert documents.delete("a", "b")

    def test_can_be_conditional(self, documents: Documents) -> None:
        old = documents.save_json("a", "b", 1)
        new = documents.save_json("a", "b", 2)
        with pytest.raises(ConflictError):
            documents.delete("a", "b", expect=old)
        assert documents.delete("a", "b", expect=new)
        with pytest.raises(ConflictError):
            documents.delete("a", "b", kind="json", expect=new)


class TestNames:
    @pytest.mark.parametrize(
        ("category", "name"),
        [("..", "x"), ("a", "../x"), ("a", ""), ("", "x"), ("/a", "x"), (".statekeep", "x")],
    )
    def test_what_leads_elsewhere_is_refused_everywhere(
        self, documents: Documents, store: StateStore, category: str, name: str
    ) -> None:
        for operation in (
            lambda: documents.save_json(category, name, 1),
            lambda: documents.save_markdown(category, name, ""),
            lambda: documents.load_json(category, name),
            lambda: documents.load_markdown(category, name),
            lambda: documents.update(category, name, lambda _: 1),
            lambda: documents.delete(category, name),
        ):
            with pytest.raises(InvalidKeyError):
                operation()
        assert list(store.scan()) == []

    def test_the_category_of_sessions_can_be_read_but_not_written(
        self, documents: Documents, store: StateStore
    ) -> None:
        session = Session.new("ada", "s")
        Sessions(store).save(session)
        loaded = documents.load_json("sessions", "s")
        assert loaded is not None
        assert loaded.value["user_id"] == "ada"
        for category in ("sessions", "sessions/sub", "./sessions"):
            with pytest.raises(InvalidKeyError, match="Sessions"):
                documents.save_json(category, "x", 1)
            with pytest.raises(InvalidKeyError, match="Sessions"):
                documents.delete(category, "s")
        assert Sessions(store).load("s") == session


def test_events_tell_what_happened(store: StateStore) -> None:
    events: list[Event] = []
    documents = Documents(store, observers=[events.append])
    version = documents.save_json("a", "b", 1)
    with pytest.raises(ConflictError):
        documents.save_json("a", "b", 2, expect=ABSENT)
    documents.delete("a", "b")
    documents.delete("a", "b")
    where = str(store)
    assert facts(events) == [
        DocumentSaved(where, "a", "b", "json", version),
        ConflictDetected(where, "a/b.json"),
        DocumentDeleted(where, "a", "b", "json"),
    ]


class TestWhatDoesNotReadBack:
    def test_aliases_do(self, documents: Documents) -> None:
        class Aliased(BaseModel):
            max_tokens: int = Field(alias="maxTokens")

        documents.save_json("a", "b", Aliased(maxTokens=5))
        documents.update("a", "b", lambda value: value, type=Aliased)
        loaded = documents.load_json("a", "b", type=Aliased)
        assert loaded is not None
        assert loaded.value.max_tokens == 5

    def test_computed_fields_do(self, documents: Documents) -> None:
        class Computed(BaseModel):
            model_config = ConfigDict(extra="forbid")
            x: int

            @computed_field  # type: ignore[prop-decorator]
            @property
            def double(self) -> int:
                return 2 * self.x

        documents.save_json("a", "b", Computed(x=2))
        loaded = documents.load_json("a", "b", type=Computed)
        assert loaded is not None
        assert loaded.value.double == 4

    def test_secrets_and_bytes_are_refused(self, documents: Documents) -> None:
        class Secret(BaseModel):
            password: SecretStr

        class Raw(BaseModel):
            data: bytes

        for value in (Secret(password=SecretStr("hunter2")), Raw(data=b"\xff")):
            with pytest.raises(InvalidDocumentError) as caught:
                documents.save_json("a", "b", value)
            assert "hunter2" not in str(caught.value)
        assert documents.list() == ()


class TestMistakes:
    def test_an_update_that_returns_nothing_loses_nothing(self, documents: Documents) -> None:
        documents.save_json("a", "plan", {"k": 1})
        with pytest.raises(InvalidDocumentError, match="return the new value"):
            documents.update("a", "plan", lambda plan: plan.update(done=True))
        kept = documents.load_json("a", "plan")
        assert kept is not None
        assert kept.value == {"k": 1}

    def test_bytes_are_no_markdown(self, documents: Documents) -> None:
        with pytest.raises(TypeError, match="text: text, not bytes"):
            documents.save_markdown("a", "b", b"x")  # type: ignore[arg-type]

    def test_nothing_is_no_expectation(self, documents: Documents) -> None:
        documents.save_json("a", "b", 1)
        with pytest.raises(TypeError, match="ABSENT"):
            documents.save_json("a", "b", 2, expect=None)  # type: ignore[arg-type]

    def test_sessions_by_another_case_are_sessions(self, documents: Documents) -> None:
        for category in ("Sessions", "SESSIONS/sub"):
            with pytest.raises(InvalidKeyError, match="Sessions"):
                documents.save_json(category, "x", 1)


class TestRaces:
    def test_two_first_updates_both_survive(self, documents: Documents) -> None:
        gate = threading.Barrier(2)

        def add(n: int) -> None:
            first = True

            def change(value: list[int] | None) -> list[int]:
                nonlocal first
                if first:
                    first = False
                    gate.wait()
                return [*(value or []), n]

            documents.update("a", "log", change)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(add, range(2)))
        loaded = documents.load_json("a", "log")
        assert loaded is not None
        assert sorted(loaded.value) == [0, 1]

    def test_of_two_deletes_one_deletes(self, documents: Documents) -> None:
        for _ in range(20):
            documents.save_json("a", "b", 1)
            gate = threading.Barrier(2)

            def delete(_: int, gate: threading.Barrier = gate) -> bool:
                gate.wait()
                return documents.delete("a", "b")

            with ThreadPoolExecutor(2) as pool:
                assert sorted(pool.map(delete, range(2))) == [False, True]
