"""The server of the Valkey and Redis backend: how it is named, what lies there, what it is told."""

from __future__ import annotations

import logging
import os
import re
import secrets
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from certificates import make_certificate
from servers import Valkey
from tcp_proxy import TcpProxy

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    InvalidDocumentError,
    Journals,
    Sessions,
    UnsupportedError,
    open_store,
)
from statekeep.store import ANY, Filter, Position, get_many, inspect
from statekeep_backends.redis.config import LARGEST, Place
from statekeep_backends.redis.errors import translated
from statekeep_backends.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from statekeep import StateStore
    from statekeep.store import Record


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.rest)])
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def location(server_url: str) -> str:
    return f"{server_url}/0/{secrets.token_hex(8)}"


@pytest.fixture
def raw(server_url: str) -> Iterator[redis.Redis]:
    """Another program on the same server."""
    with redis.Redis.from_url(server_url, protocol=2) as client:
        yield client


@pytest.fixture
def store(location: str) -> Iterator[StateStore]:
    with open_store(location) as store:
        yield store


def base_of(store: StateStore) -> str:
    return f"{{{str(store).rpartition('/')[2]}}}:"


class TestTheURL:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("redis://db", "redis://db:6379/0/statekeep"),
            ("valkey://db:7000/3", "valkey://db:7000/3/statekeep"),
            ("redis://db/acme/prod", "redis://db:6379/0/acme/prod"),
            ("redis://db/2/acme/prod/", "redis://db:6379/2/acme/prod"),
            ("redis://[::1]:7000/0/a", "redis://[::1]:7000/0/a"),
            ("rediss://db?ssl_ca_certs=ca.pem", "rediss://db:6379/0/statekeep"),
            ("redis://a:1,b/0/p?sentinel=main", "redis://a:1,b:26379/0/p"),
            ("redis://a,b:7001/0/p?cluster=true", "redis://a:6379,b:7001/0/p"),
            ("unix:/run/valkey.sock?db=2&prefix=p", "unix:/run/valkey.sock?db=2&prefix=p"),
        ],
    )
    def test_names_a_server_a_database_and_a_prefix(self, url: str, name: str) -> None:
        with open_store(url) as store:  # which asks nothing yet
            assert str(store) == name

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis:db", "must name a server"),
            ("redis://", "not a host and port"),
            ("redis://db:0", "not a host and port"),
            ("redis://db:99999", "not a host and port"),
            ("redis://ada@db", "option username"),
            ("redis://a,b", "sentinel or cluster"),
            ("redis://a/1?cluster=true", "only database 0"),
            ("redis://a?cluster=true&sentinel=main", "choose cluster or sentinel"),
            ("redis://a?ssl_ca_certs=ca.pem", "rediss:"),
            ("redis://a?timeout=0", "timeout"),
            ("redis://a?prefix=x", "belong in the path"),
            ("redis://a?db=1", "belong in the path"),
            ("unix:/run/valkey.sock?cluster=true", "leads to one server"),
            ("unix:", "names no path"),
            (f"redis://a?max_document_bytes={LARGEST + 1}", "max_document_bytes"),
            ("redis://:secret@a", "holds a password"),
            ("redis://a?password=secret", "looks like a secret"),
        ],
    )
    def test_is_nothing_else(self, url: str, said: str) -> None:
        with pytest.raises(ConfigError, match=said) as caught:
            open_store(url)
        assert "secret@" not in str(caught.value)

    def test_without_the_package_says_which_extra_brings_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "statekeep_backends.redis.find_spec",
            lambda name: None if name == "redis" else find_spec(name),
        )
        with pytest.raises(ConfigError, match=r"pip install 'statekeep\[redis\]'"):
            open_store("valkey://db")

    def test_may_be_of_another_database(self, server_url: str) -> None:
        prefix = secrets.token_hex(8)
        with (
            open_store(f"{server_url}/1/{prefix}") as one,
            open_store(f"{server_url}/{prefix}") as nil,
        ):
            one.put("a.md", b"x")
            assert nil.get("a.md") is None

    def test_of_a_database_that_is_not_there_is_wrong(self, server_url: str) -> None:
        with (
            open_store(f"{server_url}/12345") as store,
            pytest.raises(ConfigError, match="no such"),
        ):
            store.get("a.md")


class TestASocket:
    def test_is_as_good_as_a_port(self, tmp_path: Path) -> None:
        socket = tmp_path / "s"
        with Valkey(tmp_path, "--unixsocket", str(socket)):
            with open_store(f"unix:{socket}") as store, open_store(f"unix:{socket}?db=1") as other:
                store.put("a.md", b"x")
                assert other.get("a.md") is None
            with open_store(f"unix:{socket}?prefix=statekeep") as store:
                blob = store.get("a.md")
                assert blob
                assert blob.data == b"x"


class TestTLS:
    def test_is_between_those_who_trust_each_other(self, tmp_path: Path, valkey_url: str) -> None:
        certificate = make_certificate(tmp_path / "certificate.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        port = int(valkey_url.rpartition(":")[2])
        with TcpProxy(port, tls=context, is_asked=False) as proxy:
            place = f"rediss://127.0.0.1:{proxy.port}/0/{secrets.token_hex(8)}"
            with open_store(f"{place}?ssl_ca_certs={certificate}") as store:
                store.put("a.md", b"x" * 10**6)
                blob = store.get("a.md")
                assert blob
                assert len(blob.data) == 10**6
            with open_store(place) as store:
                with pytest.raises(ConfigError, match="ssl_ca_certs") as caught:
                    store.put("a.md", b"y")
                assert caught.value.landed == "no"


class TestWhatLiesThere:
    def test_is_in_one_slot_and_below_the_prefix(
        self, store: StateStore, raw: redis.Redis, location: str
    ) -> None:
        before = {*raw.scan_iter("*")}
        with Sessions(store) as sessions:
            sessions.get_or_create("ada", "s")
        store.put("a.md", b"x")
        with open_store(location) as again:
            again.put("b.md", b"x")
        made = {*raw.scan_iter("*")} - before
        assert made
        assert {key.decode().partition("}:")[0] for key in made} == {"{" + location[-16:]}
        assert all(raw.ttl(key) == -1 for key in made), "what has no end is not evicted as volatile"

    def test_is_gone_when_all_documents_are(self, store: StateStore, raw: redis.Redis) -> None:
        record = {"v": 1, "id": "s", "user_id": "ada", "created_at": 1, "updated_at": 2, "size": 3}
        store.put_record("sessions/s.json", b"x", record, expect=ABSENT)  # type: ignore[attr-defined]
        store.put_record("sessions/t.json", b"x", {"v": 1, "problem": "torn"}, expect=ABSENT)  # type: ignore[attr-defined]
        store.put("a.md", b"x")
        for entry in [*store.scan()]:
            store.delete(entry.key)
        assert [*raw.scan_iter(f"{base_of(store)}*")] == [f"{base_of(store)}format".encode()]

    def test_is_each_prefixs_own_however_they_nest(self, location: str) -> None:
        with open_store(location) as outer, open_store(f"{location}/b") as inner:
            outer.put("a.md", b"outer")
            outer.put("b/a.md", b"outer")
            inner.put("a.md", b"inner")
            assert sorted(each.key for each in outer.scan()) == ["a.md", "b/a.md"]
            assert [each.key for each in inner.scan()] == ["a.md"]
            inner.delete("a.md")
            assert outer.get("a.md")

    @pytest.mark.parametrize("prefix", ["}", "{", "{}", "a{b}c", "%7B", "ä b", "a:b", "a//b"])
    def test_may_have_any_prefix(self, server_url: str, prefix: str) -> None:
        from urllib.parse import quote

        name = prefix + secrets.token_hex(8)
        with open_store(f"{server_url}/0/{quote(name)}") as store:
            store.put("a.md", b"x")
            assert [each.key for each in store.scan()] == ["a.md"]

    def test_has_as_many_hash_tags_as_prefixes(self) -> None:
        prefixes = ["a", "{a}", "%7Ba%7D", "a}b", "a%7Db"]
        bases = [Place((), None, 0, prefix).base for prefix in prefixes]
        assert len({base[1:].partition("}")[0] for base in bases}) == len(prefixes)

    @pytest.mark.parametrize("way", ["set", "lpush"])
    def test_of_another_program_is_not_touched(
        self, store: StateStore, raw: redis.Redis, way: str
    ) -> None:
        getattr(raw, way)(f"{base_of(store)}format", "theirs")
        for call in (lambda: store.get("a.md"), lambda: store.put("a.md", b"x")):
            with pytest.raises(CorruptDataError, match="another program"):
                call()
        assert len([*raw.scan_iter(f"{base_of(store)}*")]) == 1

    def test_with_keys_of_another_kind_is_reported(
        self, store: StateStore, raw: redis.Redis
    ) -> None:
        raw.lpush(f"{base_of(store)}d:a.md", "theirs")
        with pytest.raises(CorruptDataError, match="another prefix"):
            store.get("a.md")

    def test_of_a_newer_statekeep_is_left_alone(self, store: StateStore, raw: redis.Redis) -> None:
        store.put("a.md", b"x")
        raw.set(f"{base_of(store)}format", "2")
        calls: list[Callable[[], object]] = [
            lambda: store.get("a.md"),
            lambda: store.delete("a.md"),
        ]
        for call in calls:
            with pytest.raises(UnsupportedError, match="format 2 of a newer statekeep"):
                call()

    def test_is_damaged_where_the_server_deleted_a_part(
        self, store: StateStore, raw: redis.Redis
    ) -> None:
        version = store.put("a.md", b"x")
        raw.delete(f"{base_of(store)}b:a.md")
        with pytest.raises(CorruptDataError, match="not whole"):
            store.get("a.md")
        with pytest.raises(CorruptDataError, match="not whole") as caught:
            store.append("a.md", b"x", expect=version)  # type: ignore[attr-defined]
        assert caught.value.landed == "no"
        assert isinstance(dict(get_many(store, ["a.md"]))["a.md"], CorruptDataError)
        store.put("b.md", b"x")
        raw.delete(f"{base_of(store)}d:b.md")
        store.put("c.md", b"x")
        assert [each.place for each in inspect(store, older_than=timedelta(0))] == ["a.md", "b.md"]
        for key in ("a.md", "b.md"):
            store.put(key, b"y")
            assert store.get(key)
        assert not [*inspect(store, older_than=timedelta(0))]

    def test_may_be_too_large(self, location: str, store: StateStore) -> None:
        version = store.put("a.md", b"x" * 100)
        with open_store(location, max_document_bytes=99) as small:
            with pytest.raises(CorruptDataError, match="100 bytes, more than"):
                small.get("a.md")
            with pytest.raises(InvalidDocumentError, match="101 bytes, more than") as caught:
                small.append("a.md", b"x", expect=version)  # type: ignore[attr-defined]
            assert caught.value.landed == "no"
            with pytest.raises(InvalidDocumentError, match="100 bytes, more than"):
                small.put("b.md", b"x" * 100)

    def test_is_read_in_answers_of_some_size(
        self, store: StateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("statekeep_backends.redis.store._ENOUGH", 150)
        keys = [f"{n}.md" for n in range(9)]
        for n, key in enumerate(keys[:-1]):
            store.put(key, b"x" * 50 * n)
        found = [(key, blob and blob.data) for key, blob in get_many(store, keys)]  # type: ignore[union-attr]
        assert found == [
            *((key, b"x" * 50 * n) for n, key in enumerate(keys[:-1])),
            (keys[-1], None),
        ]


class TestRecords:
    @pytest.mark.parametrize("order", ["updated", "created", "size"])
    def test_are_in_order_whatever_their_numbers(self, store: StateStore, order: Any) -> None:
        assert isinstance(store, RedisStore)
        field = {"updated": "updated_at", "created": "created_at", "size": "size"}[order]
        numbers = [2**63 - 1, 2**53 + 2, 2**53 + 1, 2**53, 10, 9, 1, 0, -1, -9, -10, -(2**63)]
        for number in reversed(numbers):
            record: Record = {"v": 1, "id": "s", field: number}
            store.put_record(f"sessions/{number}.json", b"x", record, expect=ABSENT)
        rows = [*store.query("sessions", Filter(), known=1, order=order).rows]
        assert [row.record[field] for row in rows] == numbers
        after = Position(2**53 + 1, "s", f"sessions/{2**53 + 1}.json")
        found = store.query("sessions", Filter(), known=1, order=order, after=after, limit=2)
        assert [row.record[field] for row in found.rows] == [2**53, 10]

    def test_of_what_the_server_deleted_are_no_rows(
        self, store: StateStore, raw: redis.Redis
    ) -> None:
        assert isinstance(store, RedisStore)
        for id_ in "ab":
            record: Record = {"v": 1, "id": id_, "updated_at": 1, "title": "t"}
            store.put_record(f"sessions/{id_}.json", b"x", record, expect=ABSENT)
        raw.delete(f"{base_of(store)}d:sessions/a.json")
        for wanted in (Filter(), Filter(title="t")):
            found = store.query("sessions", wanted, known=1, limit=1)
            assert [row.record["id"] for row in found.rows] == ["b"]

    def test_that_name_no_text_are_kept(self, store: StateStore) -> None:
        assert isinstance(store, RedisStore)
        store.put_record("sessions/a.json", b"x", {"v": 3, "id": "a", "n": 2**60}, expect=ANY)
        assert [*store.query("sessions", Filter(), known=1).rows] == []
        assert store.query("sessions", Filter(), known=4).missing == ["sessions/a.json"]

    def test_of_several_places_are_merged(self, store: StateStore) -> None:
        assert isinstance(store, RedisStore)
        keys = [f"journals/{'abc'[n % 3]}/{n}.jsonl" for n in range(12)]
        for n, key in enumerate(keys):
            record: Record = {"v": 1, "id": str(n), "updated_at": n % 5, "user_id": "ab"[n % 2]}
            store.put_record(key, b"x", record, expect=ABSENT)
        for wanted in (Filter(), Filter(user_id="a")):
            whole = [row.key for row in store.query("journals", wanted, known=1).rows]
            assert len(whole) == (6 if wanted.user_id else 12)
            paged: list[str] = []
            after = None
            while page := [*store.query("journals", wanted, known=1, after=after, limit=5).rows]:
                paged += [row.key for row in page]
                last: Any = page[-1].record
                after = Position(last["updated_at"], last["id"], page[-1].key)
            assert paged == whole
            assert store.count("journals", wanted, known=1) == len(whole)

    def test_of_a_session_are_gone_from_where_they_were(
        self, store: StateStore, raw: redis.Redis
    ) -> None:
        with Sessions(store) as sessions:
            session = sessions.get_or_create("ada", "s")
            for _ in range(3):
                session.add_user_message("hello")
                sessions.save(session)
            assert [each.id for each in sessions.list(user_id="ada")] == ["s"]
        sets = [key for key in raw.scan_iter(f"{base_of(store)}*") if raw.type(key) == b"zset"]
        assert {raw.zcard(key) for key in sets} == {1}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server that asks who somebody is."""
    everything = {"enabled": True, "keys": ["*"], "reset": True}
    with Valkey(tmp_path_factory.mktemp("guarded")) as server:
        with redis.Redis(port=server.port) as admin:
            admin.acl_setuser("ada", passwords=["+lovelace"], commands=["+@all"], **everything)
            few = ["+@all", "-set", "-config", "-info"]
            admin.acl_setuser("reader", passwords=["+r"], commands=few, **everything)
            admin.config_set("requirepass", "sesame")
        yield server


class TestWhoSignsIn:
    def test_gives_the_password_as_an_option(self, guarded: Valkey) -> None:
        with open_store(guarded.url, password="sesame") as store:
            store.put("a.md", b"x")
            assert "sesame" not in str(store)

    @pytest.mark.parametrize("name", ["REDISCLI_AUTH", "VALKEYCLI_AUTH"])
    def test_or_as_the_command_line_of_the_server_does(
        self, guarded: Valkey, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "sesame")
        with open_store(guarded.url) as store:
            store.put("a.md", b"x")

    def test_or_in_the_settings(self, guarded: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_URL", guarded.url)
        monkeypatch.setenv("STATEKEEP_OPTIONS__PASSWORD", "lovelace")
        monkeypatch.setenv("STATEKEEP_OPTIONS__USERNAME", "ada")
        with open_store() as store:
            store.put("a.md", b"x")

    @pytest.mark.parametrize(
        "options", [{}, {"password": "wrong"}, {"username": "nobody", "password": "x"}]
    )
    def test_is_refused_otherwise(self, guarded: Valkey, options: dict[str, str]) -> None:
        with open_store(guarded.url, **options) as store:
            with pytest.raises(AccessDeniedError, match="REDISCLI_AUTH") as caught:
                store.put("a.md", b"x")
            assert caught.value.landed == "no"
            assert "wrong" not in str(caught.value)
            with pytest.raises(AccessDeniedError):
                store.get("a.md")

    def test_needs_no_more_than_the_page_says(self, guarded: Valkey) -> None:
        page = (Path(__file__).parents[2] / "docs" / "backends" / "redis.md").read_text()
        (rules,) = re.findall(r"`ACL SETUSER ada on >… (.+?)`", page)
        with redis.Redis(port=guarded.port, password="sesame") as admin:
            admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">few", *rules.split())
        place = f"{guarded.url}/acme/prod"
        with (
            open_store(place, username="few", password="few") as store,
            Sessions(store) as sessions,
        ):
            session = sessions.get_or_create("ada", "s")
            session.add_user_message("hello")
            sessions.save(session)
            assert [each.id for each in sessions.list(user_id="ada", project_id=None)] == ["s"]
            assert sessions.list(title="none", order="size").summaries == ()
            assert sessions.count() == 1
            journal = Journals(store, "notes").open("n")
            for n in range(5):
                journal.append([n])
            assert journal.read() == [*range(5)]
            assert not [*inspect(store, older_than=timedelta(0))]
            sessions.delete("s")
            assert dict(get_many(store, ["none.md"])) == {"none.md": None}
        place = f"{guarded.url}/acme/other"
        with (
            open_store(place, username="few", password="few") as store,
            pytest.raises(AccessDeniedError),
        ):
            store.put("a.md", b"x")

    def test_may_not_do_all(self, guarded: Valkey) -> None:
        with open_store(guarded.url, username="reader", password="r") as store:
            assert store.get("none.md") is None
            with pytest.raises(AccessDeniedError):
                store.put("none.md", b"x")
            assert store.get("none.md") is None


class TestALook:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "allkeys-lru"),
            (("--maxmemory-policy", "volatile-lru", "--appendonly", "yes"), None),
            (("--appendonly", "yes"), None),
            (("--appendonly", "yes", "--appendfsync", "always"), None),
            (("--appendonly", "yes", "--appendfsync", "no"), "appendfsync no"),
            ((), "keeps nothing over a restart"),
            (("--save", "3600 1"), "since its last snapshot"),
        ],
    )
    def test_warns_once_of_what_may_lose_state(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        options: tuple[str, ...],
        said: str | None,
    ) -> None:
        with (
            Valkey(tmp_path, *options) as server,
            open_store(server.url) as store,
            ThreadPoolExecutor(4) as pool,
        ):
            assert len({*pool.map(lambda n: store.put(f"{n}.md", b"x"), range(20))}) == 20
        warned = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        if said is None:
            assert warned == []
        else:
            assert [each for each in warned if said in each] != []
            assert len({*warned}) == len(warned)
            assert all(str(store) in each for each in warned)

    def test_says_nothing_of_what_it_may_not_know(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Valkey(tmp_path) as server:
            with redis.Redis(port=server.port) as admin:
                admin.acl_setuser(
                    "default", nopass=True, enabled=True, keys=["*"],
                    commands=["+@all", "-config", "-info"],
                )  # fmt: skip
            with open_store(server.url) as store:
                store.put("a.md", b"x")
        assert not caplog.records


def test_the_errors_of_a_server_are_known() -> None:
    from redis.exceptions import ConnectionError as NotConnectedError
    from redis.exceptions import ResponseError

    for error, said in (
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "too few replicas"),
        (ResponseError("BUSY Redis is busy running a script."), "running for too long"),
        (ResponseError("unknown command 'EVALSHA'"), "lacks a required command"),
        (NotConnectedError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "ssl_ca_certs"),
        (ResponseError("what is new"), "what is new"),
    ):
        assert said in str(translated(error, key="a.md", store="here", writes=True))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(store: StateStore) -> None:
    store.put("a.md", b"parent")
    child = os.fork()
    if child == 0:
        good = False
        try:
            for n in range(50):
                store.put(f"child/{n}.md", b"x")
            blob = store.get("a.md")
            good = blob is not None and blob.data == b"parent"
        finally:
            os._exit(not good)
    for n in range(50):
        store.put(f"parent/{n}.md", b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len([*store.scan()]) == 101
