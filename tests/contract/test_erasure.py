"""Erasing a user: what goes, what stays and is named, and what racing savers leave."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statekeep import (
    Documents,
    InvalidKeyError,
    Journals,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    load_pruner,
    open_store,
)
from statekeep.erasure import erase, erase_user, plan_erasure
from statekeep.erasure.owners import finder
from statekeep.format.contents import BOUNDS
from statekeep.format.journal import Header, encode_head
from statekeep.retention.copies import copy_key
from statekeep.store import ANY, Blob, StoreWrapper, Version, get_many, remains
from statekeep.store.keys import QUARANTINE, SEGMENTS, TRASH, journal_key, session_key
from statekeep.timestamps import format_timestamp, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep.sessions.repository import Form
    from statekeep.store import Entry, ExpectSeen

FORMS: list[Form] = ["document", "journal"]


@pytest.fixture(autouse=True)
def _low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOUNDS, "lines", 1000)
    monkeypatch.setattr(BOUNDS, "kept", 300)


def fill(store: StateStore, user: str, name: str) -> None:
    for form in FORMS:
        sessions = Sessions(store, form=form)
        session = sessions.get_or_create(user, f"{form}-{name}")
        session.add_user_message("Hello")
        sessions.save(session)
        sessions.get_or_create(user, f"old-{form}-{name}")
        sessions.delete(f"old-{form}-{name}", trash=True)
    journal = Journals(store, "agents").open(name, user_id=user)
    for n in range(15):
        journal.append([{"n": n, "text": "x" * 80}])
    journal.append([{"file": journal.attach(b"what is in it", "note.txt")}])


def contents(store: StateStore) -> dict[str, bytes]:
    keys = [entry.key for entry in store.scan()]
    return {key: blob.data for key, blob in get_many(store, keys) if isinstance(blob, Blob)}


def head(uid: str, name: str, user: str | None) -> bytes:
    now = format_timestamp(utc_now())
    about = {"name": [name], "created_at": now, "updated_at": now}
    return encode_head(Header(uid=uid, n=0, about=about | ({"user_id": user} if user else {})))


def throw_away(store: StateStore, key: str, data: bytes) -> str:
    copy = copy_key(key, Blob(data, Version("v"), None), utc_now())
    store.put(copy, data)
    return copy


def test_all_that_is_the_users_goes_and_nothing_else(store: StateStore) -> None:
    fill(store, "bob", "of-bob")
    Journals(store, "agents").open("of nobody").append([1])
    before = contents(store)
    fill(store, "ada", "hers")
    plan = plan_erasure(store, "ada")
    report = erase(store, plan)
    assert report.complete
    assert report.erased == plan.victims
    assert {each.kind for each in report.erased} == {
        "attachment", "journal", "segment", "session", "trashed",
    }  # fmt: skip
    after = contents(store)
    assert {key: after.get(key) for key in before} == before
    assert not plan_erasure(store, "ada").victims
    assert erase_user(store, "ada").erased == ()


def test_a_plan_changes_nothing(store: StateStore) -> None:
    fill(store, "ada", "hers")
    before = contents(store)
    plan_erasure(store, "ada", documents=["*"])
    assert contents(store) == before


def test_what_has_changed_since_the_plan_is_left_for_another_run(store: StateStore) -> None:
    fill(store, "ada", "hers")
    plan = plan_erasure(store, "ada")
    journal = Journals(store, "agents").open("hers")
    journal.append([{"n": 16, "text": "x"}])
    Sessions(store).pin("document-hers")
    report = erase(store, plan)
    left = {each.key for each in report.left}
    assert left > {journal_key("agents", ["hers"]), session_key("document-hers")}
    assert {each.key for each in report.skipped} >= {journal_key("agents", ["hers"])}
    assert not report.complete
    items = journal.read()
    assert items is not None
    assert len(items) == 17
    assert erase_user(store, "ada").complete
    assert journal.read() is None


class Saver(threading.Thread):
    """Saves for a user again and again, till it is stopped."""

    def __init__(self, store: StateStore, user: str, form: Form, number: int) -> None:
        super().__init__()
        self.saved, self.stopped = threading.Event(), threading.Event()
        self._sessions = Sessions(store, form=form)
        self._journal = Journals(store, "agents").open(f"{number}", user_id=user)
        self._user, self._number = user, number

    def run(self) -> None:
        n = 0
        while not self.stopped.is_set():
            n += 1
            try:
                session = self._sessions.get_or_create(self._user, f"r-{self._number}-{n % 5}")
                session.add_user_message("x" * 100)
                self._sessions.save(session)
                self._journal.append([{"n": n, "text": "x" * 100}])
            except StateStoreError:  # it was erased in between
                continue
            self.saved.set()


@pytest.mark.parametrize("form", FORMS)
def test_racing_savers_are_reported_and_a_second_run_takes_what_they_saved(
    store: StateStore, form: Form, rounds: Callable[[int], int]
) -> None:
    fill(store, "bob", "of-bob")
    for _ in range(rounds(100)):
        fill(store, "ada", "hers")
        savers = [Saver(store, "ada", form, number) for number in range(2)]
        for saver in savers:
            saver.start()
        for saver in savers:
            assert saver.saved.wait(60)
        report = erase_user(store, "ada")
        for saver in savers:
            saver.stopped.set()
        for saver in savers:
            saver.join()
        assert report.failed == ()
        now = plan_erasure(store, "ada")
        again = erase_user(store, "ada")
        assert again.complete, again
        assert again.erased == now.victims
        # What a write that failed has left belongs to no journal any more.
        parts = [entry.key for entry in store.scan(SEGMENTS) if entry.key.endswith(".jsonl")]
        alive = Journals(store, "agents").open("of-bob").head()
        assert alive is not None
        assert len([key for key in parts if alive.uid not in key]) == again.unnamed
        assert Sessions(store).count(user_id="bob") == 2


def test_what_came_too_late_for_a_head_goes_in_the_same_run(store: StateStore) -> None:
    fill(store, "ada", "hers")
    plan = plan_erasure(store, "ada")
    uid = next(each.uid for each in plan.victims if each.kind == "journal")
    late = f"{SEGMENTS}/{uid}/000000000099-{'a' * 16}.jsonl"
    store.put(late, b"1\n")
    report = erase(store, plan)
    assert late in {each.key for each in report.erased}
    assert report.complete
    assert store.get(late) is None


def test_an_earlier_state_from_before_it_was_the_users_goes_too(store: StateStore) -> None:
    key = journal_key("agents", ["a"])
    store.put(key, head("a" * 32, "a", "ada"))
    older = throw_away(store, key, head("a" * 32, "a", None))
    other = throw_away(store, key, head("b" * 32, "a", None))
    assert {each.key for each in erase_user(store, "ada").erased} == {key, older}
    assert store.get(other)


def test_what_another_users_journal_may_name_stays(store: StateStore) -> None:
    key = journal_key("agents", ["a"])
    segment = f"{SEGMENTS}/{'a' * 32}/000000000000-{'a' * 16}.jsonl"
    store.put(key, head("a" * 32, "a", "bob"))
    store.put(segment, b"1\n")
    older = throw_away(store, key, head("a" * 32, "a", "ada"))
    report = erase_user(store, "ada")
    assert [each.key for each in report.erased] == [older]
    assert store.get(segment)


def test_what_is_not_the_users_and_has_the_id_in_it_is_named(store: StateStore) -> None:
    sessions = Sessions(store)
    session = sessions.get_or_create("bob", "s")
    session.add_user_message("Please\nada, answer")
    sessions.save(session)
    sessions.get_or_create("bob", "about-ada")
    sessions.get_or_create("bob", "canada")
    documents = Documents(store)
    documents.save_markdown("users/ada", "profile", "x")
    documents.save_markdown("specs", "parser", "By ada.")
    named = {session_key("s"), session_key("about-ada"), "users/ada/profile.md"}
    report = erase_user(store, "ada")
    assert report.complete
    assert {each.key for each in report.mentions} == named
    report = erase_user(store, "ada", verify="everything")
    assert {each.key for each in report.mentions} == {*named, "specs/parser.md"}
    report = erase_user(store, "ada", documents=["specs/*", "users/ada/profile"])
    assert {each.key for each in report.erased} == {"specs/parser.md", "users/ada/profile.md"}


def test_what_cannot_be_read_is_named_or_goes_if_it_says_whose_it_is(store: StateStore) -> None:
    hers, shared, unknown = map(session_key, ("hers", "shared", "unknown"))
    store.put(hers, b'{"id": "hers", "user_id": "ada", "user_messages": [')
    store.put(shared, b'{"user_id": "ada", "metadata": {"user_id": "bob"')
    store.put(unknown, b"{")
    newer = f"{QUARANTINE}/x/{session_key('newer')}"
    store.put(newer, b'{"statekeep":99,"uid":"a","about":{"user_id":"ada"}}\n')
    report = erase_user(store, "ada")
    assert {each.key for each in report.erased} == {hers, newer}
    assert {each.key for each in report.problems} == {shared, unknown}
    assert "id is in its bytes" in next(p.reason for p in report.problems if p.key == shared)
    assert not report.complete
    assert store.get(unknown)


def test_what_was_a_document_is_known_in_quarantine_by_its_name(store: StateStore) -> None:
    moved = f"{QUARANTINE}/x/users/ada/profile.json"
    store.put(moved, b"{")
    assert [each.key for each in erase_user(store, "ada").mentions] == [moved]
    report = erase_user(store, "ada", documents=["users/ada/*"])
    assert [each.key for each in report.erased] == [moved]


class Refusing(StoreWrapper):
    """Refuses what it is told to."""

    refused: str | None = None
    blind = False

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        if self.refused and self.refused in key:
            raise UnavailableError("no", key=key, store=self, landed="no")
        super().delete(key, expect=expect)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        if self.blind:
            raise UnavailableError("no", store=self)
        yield from super().scan(prefix)


def test_what_the_store_refuses_is_reported(store: StateStore) -> None:
    fill(store, "ada", "hers")
    refusing = Refusing(store)
    refusing.refused = "journals/agents/hers"
    report = erase_user(refusing, "ada")
    assert [each.victim.key for each in report.failed if each.victim] == [
        journal_key("agents", ["hers"])
    ]
    # What it names stays with it.
    assert {each.kind for each in report.left} == {"journal", "segment", "attachment"}
    items = Journals(store, "agents").open("hers").read()
    assert items is not None
    assert len(items) == 16
    refusing.refused = None
    assert erase_user(refusing, "ada").complete


def test_what_was_erased_is_reported_even_if_nobody_can_look_afterwards() -> None:
    with open_store("memory:") as store:
        fill(store, "ada", "hers")
        refusing = Refusing(store)
        plan = plan_erasure(refusing, "ada")
        refusing.blind = True
        report = erase(refusing, plan)
        assert report.erased == plan.victims
        assert report.failed
        assert not report.complete


def test_wrong_calls_are_refused() -> None:
    with open_store("memory:a") as store, open_store("memory:b") as other:
        with pytest.raises(InvalidKeyError, match="user_id is empty"):
            plan_erasure(store, "")
        with pytest.raises(InvalidKeyError, match="half a character"):
            erase_user(store, "\ud83d")
        with pytest.raises(ValueError, match="made for"):
            erase(other, plan_erasure(store, "ada"))
        with pytest.raises(ValueError, match="'heads' or 'everything'"):
            erase_user(store, "ada", verify="all")  # type: ignore[arg-type]


def test_a_store_says_what_it_keeps(store: StateStore, backend: str) -> None:
    said = remains(store)
    assert plan_erasure(store, "ada").remains == erase_user(store, "ada").remains == said
    assert remains(StoreWrapper(store)) == said
    assert bool(said) == (backend not in {"memory", "sqlite"})
    assert ("versions" in "".join(said)) == ("+" in backend)


IDS = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())


@given(st.lists(IDS, min_size=2, max_size=4, unique=True), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_whatever_users_are_called_one_goes_and_the_others_stay(users: list[str], n: int) -> None:
    with open_store("memory:") as store:
        for number, user in enumerate(users):
            Sessions(store).get_or_create(user, f"s{number}")
            Sessions(store, form="journal").get_or_create(user, f"j{number}")
            Journals(store, "agents").open(user, user_id=user).append([user])
        erased = users[n % len(users)]
        before = contents(store)
        report = erase_user(store, erased)
        assert report.complete
        assert len(report.erased) == 3
        gone = {each.key for each in report.erased}
        after = contents(store)
        assert {key: data for key, data in before.items() if key not in gone}.items() <= (
            after.items()
        )
        assert Sessions(store).count(user_id=erased) == 0
        for user in users:
            assert Sessions(store).count(user_id=user) == (0 if user == erased else 2)


@pytest.mark.parametrize("user", ["ada", 'a"b\\', "jürgen", "😀", "a b", "+49 1", "x/y"])
def test_an_id_is_found_as_it_is_and_as_json_has_it(user: str) -> None:
    find = finder(user)
    for text in (user, json.dumps(user), json.dumps(f"\n{user}\n"), f"({user})"):
        assert find(text.encode()), text
    assert not find(f"x{user}x".encode()) or not user[:1].isalnum()
    assert not find(b"nothing of the kind")


class TestWhatIsDamaged:
    """It is the user's if it says so where sessions and journals say whose they are."""

    def test_and_says_of_somebody_inside_that_he_is_a_user_stays(self, store: StateStore) -> None:
        session = Session.new("bob", "s")
        session.set_metadata("customer", {"user_id": "ada"})
        whole = session.to_json()
        damaged = re.sub(rb'"user_id": ?"bob"', b"\0", whole)
        assert damaged != whole
        store.put("sessions/s.json", damaged)
        journal = Journals(store, "agents").open("j")
        journal.append([{"user_id": "ada", "text": "a result"}])
        key = journal_key("agents", ["j"])
        blob = store.get(key)
        assert blob
        store.put(key, blob.data.replace(b'"uid"', b'"u\0d"', 1))
        report = erase_user(store, "ada")
        assert report.erased == ()
        assert not report.complete
        assert {each.key for each in report.problems} == {"sessions/s.json", key}

    def test_and_names_the_user_there_goes(self, store: StateStore) -> None:
        store.put("sessions/s.json", Session.new("ada", "s").to_json()[:-3])
        assert [each.key for each in erase_user(store, "ada").erased] == ["sessions/s.json"]

    @pytest.mark.parametrize("cut", ["ada", "before ada"])
    def test_at_its_end_may_have_said_whose_it_is(self, store: StateStore, cut: str) -> None:
        Journals(store, "agents").open("j", user_id="ada").append(["x"])
        key = journal_key("agents", ["j"])
        blob = store.get(key)
        assert blob
        header, change = blob.data.split(b"\n", 1)
        place = change.index(b'"ada"') if cut == "before ada" else len(change) - 5
        store.put(key, header + b"\n" + change[:place])
        report = erase_user(store, "ada")
        assert report.erased == ()
        assert [each.key for each in report.problems] == [key]
        assert not report.complete


def test_in_a_pattern_only_the_star_is_special(store: StateStore) -> None:
    for key in ("users/ada [x]/p.md", "users/ada x/p.md", "users/ab/p.md", "users/a?/p.md"):
        store.put(key, b"x")
    report = erase_user(store, "ada", documents=["users/ada [x]/*", "users/a?/*"])
    assert [each.key for each in report.erased] == ["users/a?/p.md", "users/ada [x]/p.md"]


def test_the_trash_by_user(store: StateStore) -> None:
    sessions, journals = Sessions(store), Journals(store, "agents")
    for user in ("ada", "bob"):
        sessions.get_or_create(user, f"of-{user}")
        sessions.delete(f"of-{user}", trash=True)
        name = f"of-{user}"
        throw_away(store, journal_key("agents", [name]), head(user[0] * 32, name, user))
    throw_away(store, session_key("damaged"), b"{")
    for owner in (sessions, journals):
        assert [each.user_id for each in owner.list_trash(user_id="ada")] == ["ada"]
        assert owner.empty_trash(user_id="ada", older_than=timedelta(days=1)) == 0
        assert owner.empty_trash(user_id="ada") == 1
        assert owner.list_trash(user_id="ada") == []
        assert len(owner.list_trash(user_id="bob")) == 1
    assert len(sessions.list_trash()) == 2


class Moving(StoreWrapper):
    """Lets somebody act in the moment before a prefix is listed."""

    before = ""

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        if prefix == self.before:
            self.before = "."
            self.act()
        yield from super().scan(prefix)

    def act(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("form", FORMS)
def test_what_is_thrown_away_while_it_is_looked_for_is_found(form: Form) -> None:
    class ThrowingAway(Moving):
        before = TRASH

        def act(self) -> None:
            Sessions(self.inner).delete("hers", trash=True)

    with ThrowingAway(open_store("memory:")) as store:
        Sessions(store, form=form).get_or_create("ada", "hers")
        assert [each.kind for each in plan_erasure(store, "ada").victims] == ["trashed"]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_restored_while_it_is_looked_for_is_found(form: Form) -> None:
    class Restoring(Moving):
        before = QUARANTINE

        def act(self) -> None:
            Sessions(self.inner).restore("hers")

    with Restoring(open_store("memory:")) as store:
        Sessions(store, form=form).get_or_create("ada", "hers")
        Sessions(store).delete("hers", trash=True)
        assert {each.kind for each in plan_erasure(store, "ada").victims} == {"session", "trashed"}


def test_what_is_thrown_away_after_the_plan_keeps_its_parts_till_it_goes(
    store: StateStore,
) -> None:
    fill(store, "ada", "hers")
    plan = plan_erasure(store, "ada")
    journals = Journals(store, "agents")
    journals.open("newest").append([], set={"statekeep.pin": True})
    journals.open("newer").append([])
    journals.prune(load_pruner("max-sessions", max_sessions=1), trash=timedelta(days=7))
    report = erase(store, plan)
    assert {each.kind for each in report.left} == {"trashed", "segment", "attachment"}
    restored = journals.restore("hers")
    assert restored.length == 16
    again = erase_user(store, "ada")
    assert again.complete
    assert not [entry for entry in store.scan(SEGMENTS) if entry.key.endswith(".jsonl")]


def test_a_lost_answer_is_reported_and_what_it_hid_is_gone() -> None:
    class Losing(StoreWrapper):
        def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
            super().delete(key, expect=expect)
            if expect is not ANY:
                raise UnavailableError("lost", key=key, store=self, landed="unknown")

    with Losing(open_store("memory:")) as store:
        fill(store.inner, "ada", "hers")
        report = erase_user(store, "ada")
        assert {each.victim.kind for each in report.failed if each.victim} == {
            "journal", "session", "trashed",
        }  # fmt: skip
        assert report.left == report.skipped == ()
        assert {each.kind for each in report.erased} == {"segment", "attachment"}
        assert erase_user(store, "ada").complete
