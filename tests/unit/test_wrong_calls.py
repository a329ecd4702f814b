"""Wrong calls and the answers that they get: what was wrong, where, and what to do."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

import pytest

from statekeep import (
    AsyncDocuments,
    AsyncJournals,
    AsyncSessions,
    Blobs,
    ConflictError,
    CorruptDataError,
    Documents,
    InvalidDocumentError,
    InvalidKeyError,
    Journal,
    Journals,
    NotFoundError,
    OwnershipError,
    Retention,
    Session,
    Sessions,
    UnsupportedError,
    load_pruner,
    repair_text,
)
from statekeep._arguments import _KINDS
from statekeep.doctor import diagnose, repair
from statekeep.erasure import erase, erase_user
from statekeep.format.json import RepairText
from statekeep.journals import Draft
from statekeep.retention import PruneThrottle
from statekeep.store import ConflictPolicy
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import StateStore

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - a wrong one
HALF = "\ud83d"
STRATEGY = load_pruner("ttl", ttl_hours=24)

CYCLIC: list[Any] = []
CYCLIC.extend([CYCLIC, CYCLIC])


def _doubled(times: int) -> list[Any]:
    value: list[Any] = [0]
    for _ in range(times):
        value = [value, value]
    return value


NAMES = {
    **{
        each.__name__: each
        for each in (Sessions, Journals, Documents, Blobs, Session, Retention, PruneThrottle)
    },
    **{
        each.__name__: each
        for each in (
            MemoryStore,
            datetime,
            timedelta,
            repair_text,
            diagnose,
            repair,
            erase,
            erase_user,
        )
    },
    "UTC": UTC,
    "NAIVE": NAIVE,
    "HALF": HALF,
    "STRATEGY": STRATEGY,
    "CYCLIC": CYCLIC,
    "DEEP": _doubled(200),
    "WIDE": _doubled(30),
}


class Given:
    """What a wrong call is made on, and the names that it uses."""

    def __init__(self) -> None:
        self.store: StateStore = MemoryStore("calls")
        self.sessions = Sessions(self.store)
        self.documents = Documents(self.store)
        self.blobs = Blobs(self.store, "c")
        self.journals = Journals(self.store, "c")
        self.journal = self.journals.open("ada", "one")
        self.journal.create([1], user_id="ada")
        self.session = self.sessions.get_or_create("ada", "s")
        self.store.put("sessions/half.json", b'{"id": "\\ud83d"}')
        self.store.put("sessions/broken.json", b"{")
        self.store.put("n/n.json", b"1")

    def call(self, text: str) -> object:
        return eval(text, NAMES | vars(self))


CALLS: list[tuple[str, type[Exception], str]] = [
    ("erase_user('./state', 'ada')", TypeError, "store: a StateStore, not str; open_store"),
    ("erase_user(store, 1)", TypeError, "user_id: text, not int"),
    ("erase_user(store, '')", InvalidKeyError, "user_id is empty"),
    ("erase_user(store, 'ada', documents='users/*')", TypeError, "documents: a collection"),
    ("erase_user(store, 'ada', verify='all')", ValueError, "verify is 'heads' or 'everything'"),
    ("erase(store, 'ada')", TypeError, "plan: a plan, not str"),
    ("diagnose('./state')", TypeError, "store: a StateStore, not str; open_store('./state') opens"),
    ("repair(store, None)", TypeError, "diagnosis: a Diagnosis, not None"),
    ("Session.from_json('{}')", TypeError, "data: bytes, not str"),
    ("documents.save_json('c', 'n', 1, type='nonsense')", TypeError, "type: a type that pydantic"),
    ("documents.save_json('c', 'n', WIDE, type=object)", InvalidDocumentError, "268435456 bytes"),
    ("documents.save_json('c', 'n', CYCLIC, type=list)", InvalidDocumentError, "contains itself"),
    ("documents.save_json('c', 'n', DEEP, type=list)", InvalidDocumentError, "127 nested"),
    ("documents.load_json('n', 'n', type=5)", TypeError, "type: a type that pydantic"),
    ("sessions.plan_prune(STRATEGY, protect=[-5])", TypeError, "protect: each is text, not int"),
    (
        "sessions.prune(STRATEGY, protect=[session])",
        TypeError,
        "protect: each is text, not Session",
    ),
    ("Retention(STRATEGY, protect=[b'a'])", TypeError, "protect: each is text, not bytes"),
    ("Sessions(store, observers=[5])", TypeError, "observers: each is a function, not int"),
    (
        'Sessions("./state")',
        TypeError,
        "store: a StateStore, not str; open_store('./state') opens one",
    ),
    ("Sessions(None)", TypeError, "store: a StateStore, not None"),
    ("Sessions(MemoryStore)", TypeError, "store: a StateStore, not the class MemoryStore"),
    ("Sessions(store, conflicts=1)", TypeError, "conflicts: text, not int"),
    (
        'Sessions(store, conflicts="ignore")',
        ValueError,
        "'detect' or 'last-writer-wins', not 'ignore'",
    ),
    ("Sessions(store, observers=print)", TypeError, "observers: a collection, not builtin"),
    ('Sessions(store, retention="ttl")', TypeError, "retention: a Retention or None, not str"),
    ('Documents("./state")', TypeError, "open_store('./state') opens one"),
    ("Documents(None)", TypeError, "store: a StateStore, not None"),
    ("sessions.load(5)", TypeError, "session_id: text, not int"),
    ("sessions.load(None)", TypeError, "session_id: text, not None"),
    ('sessions.load(b"s")', TypeError, "session_id: text, not bytes"),
    ("sessions.load(session)", TypeError, "session_id: text, not Session"),
    ('sessions.load("")', InvalidKeyError, "a session id must not be empty"),
    ('sessions.load("x" * 513)', InvalidKeyError, "at most 512 characters, not 513"),
    (
        'sessions.load(f"a{HALF}")',
        InvalidKeyError,
        "session_id has half a character, a lone surrogate, at 1",
    ),
    ('sessions.load("s", user_id=5)', TypeError, "user_id: text or None, not int"),
    ('sessions.load("s", user_id="")', InvalidKeyError, "user_id is empty"),
    ('sessions.load("s", user_id="bob")', OwnershipError, "does not belong to 'bob'"),
    ('sessions.load("s", required="yes")', TypeError, "required: True or False, not str"),
    ('sessions.load("s", repair_text=True)', TypeError, "repair_text: text, not bool"),
    ('sessions.load("s", repair_text="all")', ValueError, "'refuse' or 'replace', not 'all'"),
    (
        'sessions.load("none", required=True)',
        NotFoundError,
        "no such session: 'none' [key 'sessions/none.json', store",
    ),
    (
        'sessions.load("slack:C1/1", required=True)',
        NotFoundError,
        "no such session: 'slack:C1/1' [key",
    ),
    ('sessions.load("broken")', CorruptDataError, "not JSON"),
    ('sessions.load("half")', CorruptDataError, "read it with repair_text='replace'"),
    ("sessions.get_or_create(None)", TypeError, "user_id: text, not None"),
    ("sessions.get_or_create(17)", TypeError, "user_id: text, not int"),
    ('sessions.get_or_create("")', InvalidKeyError, "user_id is empty"),
    ("sessions.get_or_create(HALF)", InvalidKeyError, "user_id has half a character"),
    ('sessions.get_or_create("ada", 17)', TypeError, "session_id: text or None, not int"),
    ('sessions.get_or_create("ada", "")', InvalidKeyError, "a session id must not be empty"),
    ('sessions.get_or_create("bob", "s")', OwnershipError, "does not belong to 'bob'"),
    ("sessions.save({})", TypeError, "session: a Session, not dict"),
    ('sessions.save("s")', TypeError, "session: a Session, not str"),
    ("sessions.save(None)", TypeError, "session: a Session, not None"),
    ('sessions.save(session, overwrite="no")', TypeError, "overwrite: True or False, not str"),
    (
        'sessions.save(Session.new("ada", "s"))',
        ConflictError,
        "the session exists already; load it again",
    ),
    ('sessions.update("s", None)', TypeError, "change: a function, not None"),
    ('sessions.update("s", session)', TypeError, "change: a function, not Session"),
    ('sessions.update("s", print, timeout=5)', TypeError, "timeout: a timedelta, not int"),
    ('sessions.update("none", print)', NotFoundError, "no such session"),
    ('sessions.update("s", lambda s: s.fork("t"))', TypeError, "change the given one in place"),
    ("sessions.delete(5)", TypeError, "session_id: text, not int"),
    ('sessions.delete("s", trash=1)', TypeError, "trash: True or False, not int"),
    ("sessions.restore(None)", TypeError, "session_id: text, not None"),
    ('sessions.restore("s", copy=1)', TypeError, "copy: text or None, not int"),
    ('sessions.restore("s")', ConflictError, "the session already exists"),
    (
        'sessions.add_turn("s", user="Hello")',
        TypeError,
        "user: a collection, not str; give a single item in a list, as [item]",
    ),
    (
        'sessions.add_turn("new", user=["a"])',
        NotFoundError,
        "no such session: 'new'; with a user_id, add_turn() creates it",
    ),
    (
        'sessions.add_turn("new", user=["a"], user_id="ada", key="k")',
        UnsupportedError,
        "open the sessions with form='journal', or add the turn without a key",
    ),
    (
        'sessions.add_turn("s", user=["a"], key="k")',
        UnsupportedError,
        "convert it to a journal, or add the turn without a key",
    ),
    ("sessions.empty_trash(older_than=7)", TypeError, "older_than: a timedelta, not int"),
    ('sessions.list(limit="9")', TypeError, "limit: an integer or None, not str"),
    ("sessions.list(limit=True)", TypeError, "limit: an integer or None, not bool"),
    ("sessions.list(limit=0)", ValueError, "limit must be at least 1, not 0"),
    ('sessions.list("ada")', TypeError, "takes 1 positional argument"),
    ("sessions.list(user_id=7)", TypeError, "user_id: text or None, not int"),
    ("sessions.list(user=7)", TypeError, "unexpected keyword argument 'user'"),
    (
        "sessions.list(updated_after=NAIVE)",
        ValueError,
        "updated_after is naive; give it a time zone",
    ),
    (
        'sessions.list(updated_before="2026-01-01")',
        TypeError,
        "updated_before: an aware datetime or None, not str",
    ),
    ('sessions.list(cursor="x")', InvalidKeyError, "not a cursor of a listing in this order: 'x'"),
    ('sessions.pin("s", "tomorrow")', TypeError, "until: an aware datetime or None, not str"),
    ('sessions.pin("s", NAIVE)', ValueError, "until is naive; give it a time zone"),
    ('sessions.pin("none")', NotFoundError, "no such session"),
    ("sessions.unpin(1)", TypeError, "session_id: text, not int"),
    (
        'sessions.plan_prune("ttl")',
        TypeError,
        "strategy: a strategy, not str; load_pruner('ttl') gives one",
    ),
    ('sessions.plan_prune(STRATEGY, protect="s")', TypeError, "protect: a collection, not str"),
    ("sessions.plan_prune(STRATEGY, now=NAIVE)", ValueError, "now is naive"),
    ("sessions.plan_prune(STRATEGY, min_idle=60)", TypeError, "min_idle: a timedelta, not int"),
    (
        "sessions.plan_prune(STRATEGY, min_idle=timedelta(-1))",
        ValueError,
        "min_idle must not be negative",
    ),
    (
        'sessions.prune("ttl")',
        TypeError,
        "plan: a plan or a strategy, not str; load_pruner('ttl') gives one",
    ),
    ("sessions.prune(STRATEGY, trash=7)", TypeError, "trash: a timedelta or None, not int"),
    ("sessions.prune(STRATEGY, trash=timedelta(-1))", ValueError, "trash must not be negative"),
    ("sessions.prune(STRATEGY, now=datetime.now(UTC))", ValueError, "trust_clock=True"),
    ("sessions.prune(STRATEGY, progress=1)", TypeError, "progress: a function or None, not int"),
    ('Retention("ttl")', TypeError, "strategy: a strategy, not str; load_pruner('ttl') gives one"),
    ("Retention(STRATEGY, every=300)", TypeError, "every: a timedelta, not int"),
    ("Retention(STRATEGY, every=timedelta(-1))", ValueError, "every must not be negative"),
    ('Retention(STRATEGY, trash="7d")', TypeError, "trash: a timedelta or None, not str"),
    ('Retention(STRATEGY, protect="s")', TypeError, "protect: a collection, not str"),
    ("PruneThrottle(300)", TypeError, "cooldown: a timedelta, not int"),
    ("Session.new(5)", TypeError, "user_id: text, not int"),
    ('Session.new("")', InvalidKeyError, "user_id is empty"),
    ('Session.new("ada", "")', InvalidKeyError, "a session id must not be empty"),
    ('Session.new("ada", 5)', TypeError, "session_id: text or None, not int"),
    ('session.fork("s", upto=-1)', ValueError, "upto must be at least 0, not -1"),
    ("session.fork(5)", TypeError, "new_id: text, not int"),
    ('session.fork("")', InvalidKeyError, "a session id must not be empty"),
    (
        'session.model_copy(update={"id": "t"})',
        ValueError,
        "fork(new_id) makes a separate session",
    ),
    ("session.add_user_message(None)", TypeError, "content: text, not None"),
    ('session.add_user_message({"text": "Hi"})', TypeError, "content: text, not dict"),
    (
        'session.add_user_message(f"Hi {HALF}")',
        InvalidDocumentError,
        "content has half a character, a lone surrogate, at 3; statekeep.repair_text()",
    ),
    ('session.add_user_message("Hi", timestamp=NAIVE)', ValueError, "timestamp is naive"),
    (
        'session.add_user_message("Hi", timestamp=5)',
        TypeError,
        "timestamp: an aware datetime or None, not int",
    ),
    (
        'session.add_user_message("Hi", when=NAIVE)',
        InvalidDocumentError,
        "a value of the type datetime (at when)",
    ),
    ("session.add_agent_response(5)", TypeError, "content: text, not int"),
    (
        'session.add_agent_response("Hi", evaluation_passed=1)',
        TypeError,
        "evaluation_passed: True or False or None, not int",
    ),
    (
        'session.add_agent_response("Hi", phase_reached=HALF)',
        InvalidDocumentError,
        "phase_reached has half a character",
    ),
    ("session.set_active_seed(None)", TypeError, "seed_id: text, not None"),
    ("session.set_active_persona(3)", TypeError, "persona_id: text, not int"),
    ("session.set_metadata(5, 1)", TypeError, "key: text, not int"),
    (
        'session.set_metadata("k", datetime.now(UTC))',
        InvalidDocumentError,
        "a value of the type datetime (at k)",
    ),
    (
        'session.set_metadata("k", {"at": [(1, 2)]})',
        InvalidDocumentError,
        "a value of the type tuple (at k.at.0)",
    ),
    (
        'session.set_metadata("k", {"a": {1}})',
        InvalidDocumentError,
        "a value of the type set (at k.a)",
    ),
    (
        'session.set_metadata("k", [2**64])',
        InvalidDocumentError,
        "an integer beyond 64 bits (at k.0)",
    ),
    ('session.set_metadata("k", float("nan"))', InvalidDocumentError, "the number nan (at k)"),
    (
        'session.set_metadata("k", {5: 1})',
        InvalidDocumentError,
        "the key 5, which is not text (at k)",
    ),
    ('session.set_metadata("k", HALF)', InvalidDocumentError, "half a character"),
    (
        'session.set_metadata("k", CYCLIC)',
        InvalidDocumentError,
        "a list that contains itself (at k.0)",
    ),
    (
        'session.set_metadata("k", DEEP)',
        InvalidDocumentError,
        "more than 127 nested lists and dicts",
    ),
    ('session.set_metadata("k", WIDE)', InvalidDocumentError, "more than 268435456 bytes"),
    ('documents.save_json("c", 5, {})', TypeError, "name: text, not int"),
    ('documents.save_json(None, "n", {})', TypeError, "category: text, not None"),
    ('documents.save_json("c", "n", {1})', InvalidDocumentError, "a value of the type set"),
    ('documents.save_json("c", "n", b"x")', InvalidDocumentError, "a value of the type bytes"),
    (
        'documents.save_json("c", "n", 1, expect=None)',
        TypeError,
        "expect: ANY, ABSENT or a version, not None",
    ),
    ('documents.save_json("../c", "n", 1)', InvalidKeyError, "a category must not contain '..'"),
    ('documents.save_json("c", "a/b", 1)', InvalidKeyError, "a document name must not contain '/'"),
    ('documents.save_json("sessions", "n", 1)', InvalidKeyError, "is written through Sessions"),
    ('documents.save_markdown("c", "n", 5)', TypeError, "text: text, not int"),
    ('documents.save_markdown("c", "n", HALF)', InvalidDocumentError, "text has half a character"),
    ('documents.load_json("c", None)', TypeError, "name: text, not None"),
    ('documents.load_markdown(5, "n")', TypeError, "category: text, not int"),
    ('documents.update("c", "n", {})', TypeError, "change: a function, not dict"),
    (
        'documents.update("c", "n", lambda _: None)',
        InvalidDocumentError,
        "it must return the new value",
    ),
    (
        'documents.update("c", "n", lambda _: 1, kind="txt")',
        InvalidKeyError,
        "'json' or 'md', not 'txt'",
    ),
    ("documents.list(5)", TypeError, "category: text or None, not int"),
    ('documents.delete("c", 5)', TypeError, "name: text, not int"),
    ('documents.delete("c", "n", kind=5)', TypeError, "kind: text or None, not int"),
    ("repair_text(5)", TypeError, "text: text, not int"),
    ("Journals('./state', 'c')", TypeError, "open_store('./state') opens one"),
    ("Journals(store)", TypeError, "missing 1 required positional argument: 'collection'"),
    ("Journals(store, 'Support')", InvalidKeyError, "a collection's name has a to z, 0 to 9"),
    ("Journals(store, 5)", TypeError, "collection: text, not int"),
    ("journals.open()", InvalidKeyError, "at least one part"),
    ("journals.open(5)", TypeError, "name: text, not int"),
    ("journals.open(('ada', 'one'))", TypeError, "name: text, not tuple"),
    ("journals.open(*'abcdefg')", InvalidKeyError, "at most 6 parts, not 7"),
    ("journals.list(user_id=5)", TypeError, "user_id: text or None, not int"),
    ("journals.list(5)", TypeError, "prefix: text, not int"),
    ("journals.delete_below(5)", TypeError, "prefix: text, not int"),
    ("journals.delete_below(user_id='')", InvalidKeyError, "user_id is empty"),
    ("journals.heads(parts='2')", TypeError, "parts: an integer or None, not str"),
    ("journal.append('Hello')", TypeError, "items: a collection, not str"),
    (
        "journal.append({'role': 'user'})",
        TypeError,
        "items: a collection, not dict; give a single item in a list, as [item]",
    ),
    ("journals.open('new').create({'role': 'user'})", TypeError, "not dict; give a single item in"),
    (
        "journal.change(lambda draft: draft.append({'role': 'user'}))",
        TypeError,
        "items: a collection, not dict; give a single item in a list, as [item]",
    ),
    ("journal.append([{1}])", InvalidDocumentError, "a value of the type set"),
    ("journal.append([1], key=5)", TypeError, "key: text or None, not int"),
    ("journal.append([1], keys=[5])", TypeError, "keys: each is text or None, not int"),
    (
        "journal.append([1, 2], keys=[None, HALF])",
        InvalidKeyError,
        "keys[1] has half a character, a lone surrogate, at 0; statekeep.repair_text()",
    ),
    ("journal.append([1], unset=['a' + HALF])", InvalidKeyError, "unset[0] has half a character"),
    ("journal.append([1], set={HALF: 1})", InvalidDocumentError, "half a character"),
    ("journal.change(lambda draft: draft.append([1], [HALF]))", InvalidKeyError, "keys[0] has"),
    ("journal.attachments([HALF])", InvalidKeyError, "refs[0] has half a character"),
    ("sessions.plan_prune(STRATEGY, protect=[HALF])", InvalidKeyError, "protect[0] has half a"),
    ("journal.append([1], keys=[])", ValueError, "keys: one for each of 1 items, not 0"),
    ("journal.append([1], set=['a'])", TypeError, "set: a dict or None, not list"),
    ("journal.append([1], unset='a')", TypeError, "unset: a collection, not str"),
    ("journal.append([1], user_id='')", InvalidKeyError, "user_id is empty"),
    ("journal.append([1], user_id='bob')", OwnershipError, "does not belong to 'bob'"),
    ("journal.append([1], expect=None)", TypeError, "expect: ANY, ABSENT or a version, not None"),
    ("journal.create()", ConflictError, "a journal of this name already exists"),
    ("journal.read(last=-1)", ValueError, "last must be at least 0, not -1"),
    ("journal.read(last=1, start=2)", ValueError, "give last, or start and stop"),
    ("journal.load(last='1')", TypeError, "last: an integer or None, not str"),
    ("journal.load(start='1')", TypeError, "start: an integer or a function, not str"),
    ("journal.load(last=1, start=len)", ValueError, "give last, or start and stop"),
    ("journal.load(refs=['a.txt'])", TypeError, "refs: a function or None, not list"),
    ("journal.load(refs=lambda _: ['a.txt'])", InvalidKeyError, "not the ref of an attachment"),
    ("journal.change(None)", TypeError, "fn: a function, not None"),
    ("journal.change(lambda draft: draft.append('Hi'))", TypeError, "items: a collection, not str"),
    ("journal.change(lambda draft: draft.replace('0', 1))", TypeError, "position: an integer, not"),
    ("journal.change(lambda draft: draft.replace(7, 1))", IndexError, "the journal has no item 7"),
    (
        "journal.change(lambda draft: draft.truncate(-1))",
        ValueError,
        "n must be at least 0, not -1",
    ),
    ("journal.change(lambda draft: draft.last('3'))", TypeError, "n: an integer, not str"),
    ("journal.change(lambda draft: draft.has(3))", TypeError, "key: text, not int"),
    ("journal.change(lambda draft: draft.attach('text', 'a'))", TypeError, "data: bytes, not str"),
    ("journals.open('none').change(print, create=False)", NotFoundError, "no such journal"),
    ("journal.fork()", InvalidKeyError, "at least one part"),
    ("journal.fork('ada', 'one')", ConflictError, "a journal of this name already exists"),
    ("journal.fork('b', upto=-1)", ValueError, "upto must be at least 0, not -1"),
    ("journal.fork('b', upto='1')", TypeError, "upto: an integer or None, not str"),
    ("journals.open('none').fork('b')", NotFoundError, "no such journal"),
    ("journal.attach('text', 'a.txt')", TypeError, "data: bytes, not str"),
    ("journal.attach(b'', 5)", TypeError, "file_name: text, not int"),
    ("journals.open('none').attach(b'', 'a.txt')", NotFoundError, "no such journal"),
    ("journal.attachments('a.txt')", TypeError, "refs: a collection, not str"),
    ("journal.attachments([5])", TypeError, "refs: each is text, not int"),
    ("journal.attachments(['a.txt'])", InvalidKeyError, "not the ref of an attachment: 'a.txt'"),
    ("journal.detach(['../x'])", InvalidKeyError, "not the ref of an attachment"),
    ("journal.pin('tomorrow')", TypeError, "until: an aware datetime or None, not str"),
    ("journal.expire(NAIVE)", ValueError, "at is naive; give it a time zone"),
    ("journal.delete(expect=None)", TypeError, "expect: ANY or a version, not None"),
    ("Blobs('./state', 'c')", TypeError, "open_store('./state') opens one"),
    ("Blobs(store, '.c')", InvalidKeyError, "a collection's name has a to z, 0 to 9"),
    ("blobs.put('text', 'a.txt')", TypeError, "data: bytes, not str"),
    ("blobs.put(b'')", InvalidKeyError, "at least one part, the file name"),
    ("blobs.put(b'', 5)", TypeError, "name: text, not int"),
    ("blobs.put(b'', 'ada', '')", InvalidKeyError, "a blob's file name must not be empty"),
    ("blobs.put(b'', 'x' * 201)", InvalidKeyError, "at most 200 bytes"),
    ("blobs.put(b'', HALF)", InvalidKeyError, "name has half a character"),
    ("blobs.get(('ada', 'a.txt'))", TypeError, "name: text, not tuple"),
    ("blobs.list(5)", TypeError, "prefix: text, not int"),
    ("blobs.delete('a.txt', expect=5)", TypeError, "expect: ANY or a version, not int"),
]


@pytest.mark.parametrize(("call", "raises", "says"), CALLS, ids=[call for call, _, _ in CALLS])
def test_a_wrong_call_is_told_what_was_wrong_and_changes_nothing(
    call: str, raises: type[Exception], says: str
) -> None:
    given = Given()
    before = {entry.key: given.store.get(entry.key) for entry in given.store.scan()}
    session = given.session.model_copy(deep=True)
    with pytest.raises(raises) as raised:
        given.call(call)
    assert says in str(raised.value)
    assert {entry.key: given.store.get(entry.key) for entry in given.store.scan()} == before
    assert given.session == session


def test_there_are_a_hundred() -> None:
    assert len(CALLS) >= 100


class Odd:
    """Of no type that anything takes but what takes anything."""


FITTING: dict[str, object] = {
    "str": "s",
    "bytes": b"b",
    "int": 1,
    "Iterable": [],
    "Session": Session.new("ada"),
    "Callable": print,
    "PruningStrategy": STRATEGY,
    "PrunePlan": STRATEGY,
    "StateStore": MemoryStore(),
    "timedelta": timedelta(0),
}
ANYTHING = {"object", "Any"}
NOT_CALLED = {
    (Sessions, "open"),
    (Session, "model_copy"),
    (Session, "from_json"),
    (Session, "summary"),
    (Draft, "line"),
}


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is not each.VAR_KEYWORD and each.name not in {"self", "cls"}
    ]


def _arguments() -> Iterator[tuple[type, str, str]]:
    for kind in (Sessions, Journals, Journal, Draft, Documents, Blobs, Session, Retention):
        for name, method in inspect.getmembers(kind, callable):
            ours = str(getattr(inspect.unwrap(method), "__module__", "")).startswith("statekeep")
            is_public = not name.startswith("_") or (
                name == "__init__" and kind not in {Session, Journal, Draft}
            )
            if not ours or not is_public or (kind, name) in NOT_CALLED:
                continue
            for parameter in _parameters(method):
                if parameter.annotation not in ANYTHING:
                    yield kind, name, parameter.name


@pytest.mark.parametrize(("kind", "method", "parameter"), [*_arguments()])
def test_every_public_method_names_the_argument_that_is_of_a_wrong_type(
    kind: type, method: str, parameter: str
) -> None:
    given = Given()
    objects: dict[type, object] = {
        Sessions: given.sessions,
        Journals: given.journals,
        Journal: given.journal,
        Draft: Draft(None, given.journal._transfer),
        Documents: given.documents,
        Blobs: given.blobs,
        Session: given.session,
    }
    function = kind if method == "__init__" else getattr(objects[kind], method)
    arguments = {
        each.name: FITTING.get(each.annotation.partition("[")[0].partition(" ")[0])
        for each in _parameters(function)
        if each.default is each.empty
    }
    with pytest.raises(TypeError, match=rf"^{parameter}: .+, not Odd$"):
        _call(function, arguments | {parameter: Odd()})


def _call(function: Callable[..., object], arguments: dict[str, object]) -> None:
    """Call it with arguments by name, but for what stands before any number of others."""
    parameters = [each for each in _parameters(function) if each.name in arguments]
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    first = [each.name for each in parameters if takes_any and each.kind is not each.KEYWORD_ONLY]
    named = {name: value for name, value in arguments.items() if name not in first}
    function(*[arguments[name] for name in first], **named)


PUBLIC = [
    f"statekeep{part}"
    for part in ("", ".store", ".doctor", ".retention", ".events", ".plugins", ".timestamps")
]
FUNCTIONS = {
    function: None
    for module in map(import_module, PUBLIC)
    for name in module.__all__
    if inspect.isfunction(function := getattr(module, name))
    and any(each.default is each.empty for each in _parameters(function))
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_every_public_function_names_the_argument_that_is_of_a_wrong_type(
    function: Callable[..., Any],
) -> None:
    needed = [each for each in _parameters(function) if each.default is each.empty]
    with pytest.raises(TypeError, match=r"^\w+: .+, not Odd$") as raised:
        # Those that yield do so only when asked to.
        list(function(**{each.name: Odd() for each in needed}))
    assert str(raised.value).partition(":")[0] in {each.name for each in needed}


def test_what_has_the_name_of_ours_is_not_taken_for_it() -> None:
    theirs = type("Session", (), {"__module__": "requests"})()
    with pytest.raises(TypeError, match=r"session: a Session, not requests\.Session"):
        Given().sessions.save(theirs)


@pytest.mark.parametrize("choices", [ConflictPolicy, RepairText])
def test_what_may_be_chosen_is_said_once(choices: object) -> None:
    assert get_args(choices) in {kind.choices for kind in _KINDS.values()}


def test_the_asynchronous_twins_answer_alike() -> None:
    async def call() -> None:
        async with AsyncSessions(MemoryStore()) as sessions:
            await sessions.load(5)  # type: ignore[call-overload]

    async def append() -> None:
        async with AsyncJournals(MemoryStore(), "c") as journals:
            wrong: Any = "Hello"
            await journals.open("a").append(wrong)

    with pytest.raises(TypeError, match="items: a collection, not str"):
        asyncio.run(append())
    with pytest.raises(TypeError, match="session_id: text, not int"):
        asyncio.run(call())
    with pytest.raises(TypeError, match="store: a StateStore, not str; open_store"):
        AsyncDocuments("./state")  # type: ignore[arg-type]
