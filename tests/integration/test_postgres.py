"""The tables of the PostgreSQL backend: where they lie, whose they are, and what is in them."""

from __future__ import annotations

import secrets
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
import servers
from certificates import make_certificate
from psycopg import sql
from tcp_proxy import TcpProxy

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    InvalidDocumentError,
    Sessions,
    UnavailableError,
    UnsupportedError,
    load_pruner,
    open_store,
)
from statekeep.cli.init import init
from statekeep.events import OperationFinished
from statekeep.observe.emitter import Emitter
from statekeep.store import Filter, SupportsQuery, initialize, power
from statekeep_backends.postgres import PostgresConfig
from statekeep_backends.postgres.config import conninfo
from statekeep_backends.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "hunter2"


@pytest.fixture
def name() -> str:
    return f"s{secrets.token_hex(6)}"


@pytest.fixture
def url(postgres_url: str, name: str) -> str:
    return f"{postgres_url}?store={name}"


@pytest.fixture
def db(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as db:
        yield db


@pytest.fixture
def new_database(postgres_url: str, db: psycopg.Connection) -> Callable[[str], str]:
    """Makes a database with these options, and gives its URL."""

    def make(options: str) -> str:
        name = f"d{secrets.token_hex(6)}"
        db.execute(f"CREATE DATABASE {name} {options}".encode())
        return f"{postgres_url.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(scope="module")
def strict_server() -> Iterator[servers.Postgres]:
    """One that asks the user ``ada`` for a password."""
    with servers.postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute(f"CREATE ROLE ada LOGIN PASSWORD '{PASSWORD}'".encode())
            db.execute("GRANT CREATE ON SCHEMA public TO ada")
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"host all ada 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        server.restart()
        yield server


def tables(db: psycopg.Connection, name: str) -> list[str]:
    found = db.execute(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename LIKE %s ORDER BY 1",
        (f"{name}%",),
    )
    return [each for (each,) in found]


class TestTheURL:
    @pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
    def test_has_two_schemes(self, url: str, scheme: str) -> None:
        with open_store(f"{scheme}:{url.partition(':')[2]}") as store:
            store.put("a.md", b"x")
            assert str(store) == url

    @pytest.mark.parametrize(
        ("location", "passed"),
        [
            ("", "postgresql://"),
            ("//", "postgresql://"),
            ("//server", "postgresql://server"),
            ("///agents", "postgresql:///agents"),
            ("//ada@server:5433/agents", "postgresql://ada@server:5433/agents"),
            ("//one:1,two:2/agents", "postgresql://one:1,two:2/agents"),
            ("//ada@acme.com@[::1]:5432/a b/c", "postgresql://ada%40acme.com@[::1]:5432/a%20b%2Fc"),
        ],
    )
    def test_says_what_libpq_takes(self, location: str, passed: str) -> None:
        assert conninfo(location, PostgresConfig())[0] == passed

    @pytest.mark.parametrize(
        "option",
        ["store=A-b", "schema=x;y", "sslmode=sometimes", "timeout=0", "tenant=x", "sslkey=x"],
    )
    def test_takes_no_other_options(self, postgres_url: str, option: str) -> None:
        with pytest.raises(ConfigError, match=option.partition("=")[0]):
            open_store(f"{postgres_url}?{option}")

    def test_that_nobody_can_read_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="port"):
            open_store("postgresql://server:port/x")

    def test_can_name_the_folder_of_a_socket(self, strict_server: servers.Postgres) -> None:
        folder = strict_server.data.parent
        url = f"postgresql://postgres@:{strict_server.port}/postgres?host={folder}"
        with open_store(url) as store:
            store.put("a.md", b"x")

    def test_can_name_a_service(
        self, postgres_url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        about = psycopg.conninfo.conninfo_to_dict(postgres_url)
        lines = ["[prod]", *[f"{key}={value}" for key, value in about.items()]]
        (tmp_path / "services").write_text("\n".join(lines))
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        with open_store(f"postgresql:?service=prod&store={name}") as store:
            store.put("a.md", b"x")


@pytest.mark.parametrize("missing", ["psycopg", "psycopg_pool"])
def test_without_its_packages_it_says_how_to_get_them(missing: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from statekeep import ConfigError, open_store
try:
    open_store("postgresql:///agents")
except ConfigError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "pip install 'statekeep[postgres]'" in said
    assert missing in said


class TestThePassword:
    @pytest.fixture
    def guarded(self, strict_server: servers.Postgres, name: str) -> str:
        return f"{strict_server.url.replace('postgres@', 'ada@')}?store={name}"

    def test_comes_by_the_environment(self, guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        with open_store(guarded) as store:
            store.put("a.md", b"x")

    def test_comes_by_a_file(
        self, guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "pass"
        file.write_text(f"127.0.0.1:*:*:ada:{PASSWORD}\n")
        file.chmod(0o600)
        with open_store(f"{guarded}&passfile={file}") as store:
            store.put("a.md", b"x")
        monkeypatch.setenv("PGPASSFILE", str(file))
        with open_store(guarded) as store:
            assert store.get("a.md")

    def test_comes_by_the_settings_and_is_never_shown(
        self, guarded: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_URL", guarded)
        monkeypatch.setenv("STATEKEEP_OPTIONS__PASSWORD", PASSWORD)
        with open_store() as store:
            store.put("a.md", b"x")
            assert PASSWORD not in repr(vars(store)["_name"]) + str(store)
        assert PASSWORD not in repr(PostgresConfig(password=PASSWORD))

    @pytest.mark.parametrize("how", ["none", "wrong"])
    def test_that_is_wrong_or_missing_is_said_at_once(
        self, guarded: str, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
        if how == "wrong":
            monkeypatch.setenv("PGPASSWORD", f"not-{PASSWORD}")
        with open_store(guarded) as store:
            with pytest.raises(AccessDeniedError, match="PGPASSWORD") as caught:
                store.put("a.md", b"x")
            assert caught.value.landed == "no"
            assert PASSWORD not in str(caught.value)
            with pytest.raises(AccessDeniedError):
                store.get("a.md")

    def test_in_the_url_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="holds a password") as caught:
            open_store(f"postgresql://ada:{PASSWORD}@server/agents")
        assert PASSWORD not in str(caught.value)


class TestTls:
    @pytest.fixture
    def secure(self, postgres_url: str, name: str, tmp_path: Path) -> Iterator[str]:
        """A server that speaks TLS, as its certificate says that it is, in ``certificate.pem``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(make_certificate(tmp_path / "certificate.pem"))
        port = int(psycopg.conninfo.conninfo_to_dict(postgres_url)["port"] or 0)
        with TcpProxy(port, tls=context) as proxy:
            yield f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?store={name}"

    def test_is_what_libpq_makes_of_it(self, secure: str, tmp_path: Path) -> None:
        known = f"sslmode=verify-full&sslrootcert={tmp_path / 'certificate.pem'}"
        with open_store(f"{secure}&{known}&gssencmode=disable") as store:
            store.put("a.md", b"x")
            assert store.get("a.md")

    def test_with_an_unknown_certificate_is_refused(self, secure: str, tmp_path: Path) -> None:
        other = make_certificate(tmp_path / "other.pem")
        known = f"sslmode=verify-full&sslrootcert={other}&gssencmode=disable"
        with (
            open_store(f"{secure}&{known}") as store,
            pytest.raises(UnavailableError, match="certificate") as caught,
        ):
            store.put("a.md", b"x")
        assert caught.value.landed == "no"


class TestTheTables:
    def test_are_not_made_by_what_reads_or_deletes(
        self, url: str, name: str, db: psycopg.Connection
    ) -> None:
        with open_store(url) as store:
            assert store.get("a.md") is None
            assert list(store.scan()) == []
            store.delete("a.md")
            assert not Sessions(store).list()
        assert tables(db, name) == []

    def test_are_made_once_by_all_who_write_first(self, url: str) -> None:
        stores = [open_store(url) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: stores[n].put(f"{n}.md", b"x"), range(8)))
        assert len(list(stores[0].scan())) == 8
        for each in stores:
            each.close()

    def test_are_those_of_the_store_that_the_url_names(
        self, postgres_url: str, name: str, db: psycopg.Connection
    ) -> None:
        both = [f"{postgres_url}?store={name}", f"{postgres_url}?store={name}&schema={name}"]
        for url in both:
            with open_store(url) as store:
                assert list(store.scan()) == []
                store.put("a.md", b"x")
        assert tables(db, name) == [
            f"public.{name}_appended",
            f"public.{name}_documents",
            f"{name}.{name}_appended",
            f"{name}.{name}_documents",
        ]

    def test_are_made_beforehand_for_those_who_may_not(
        self, postgres_url: str, name: str, db: psycopg.Connection
    ) -> None:
        role, schema = sql.Identifier(f"{name}_writer"), sql.Identifier(name)
        db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        db.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        db.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
        url = f"{postgres_url}?schema={name}"
        writer = url.replace("postgres@", f"{name}_writer@")
        with open_store(writer) as store:
            assert store.get("a.md") is None
            with pytest.raises(AccessDeniedError, match="statekeep init") as caught:
                store.put("a.md", b"x")
            assert caught.value.landed == "no"
            init(url)
            grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}"
            db.execute(sql.SQL(grant).format(schema, role))
            version = store.put("a.md", b"x")
            store.append("a.md", b"y", expect=version)  # type: ignore[attr-defined]
            store.delete("a.md")

    def test_of_a_newer_version_are_refused(
        self, url: str, name: str, db: psycopg.Connection
    ) -> None:
        with open_store(url) as store:
            initialize(store)
        db.execute(f"COMMENT ON TABLE {name}_documents IS 'statekeep 2'".encode())
        with open_store(url) as store:
            for call in (lambda: store.get("a.md"), lambda: store.put("a.md", b"x")):
                with pytest.raises(UnsupportedError, match="upgrade statekeep"):
                    call()

    @pytest.mark.parametrize("comment", ["NULL", "'mine'", "'statekeep x'"])
    def test_of_another_program_are_left_alone(
        self, url: str, name: str, db: psycopg.Connection, comment: str
    ) -> None:
        db.execute(f"CREATE TABLE {name}_documents (key text)".encode())
        db.execute(f"COMMENT ON TABLE {name}_documents IS {comment}".encode())
        with open_store(url) as store:
            for call in (lambda: store.get("a.md"), lambda: store.put("a.md", b"x")):
                with pytest.raises(CorruptDataError, match="another program"):
                    call()

    def test_that_are_dropped_meanwhile_are_made_anew(
        self, url: str, name: str, db: psycopg.Connection
    ) -> None:
        with open_store(url) as store:
            store.put("a.md", b"x")
            for again in (False, True):
                db.execute(f"DROP TABLE {name}_documents, {name}_appended".encode())
                if again:
                    assert store.get("a.md") is None
                store.put("b.md", b"x")
                assert [each.key for each in store.scan()] == ["b.md"]

    def test_that_are_dropped_under_threads_are_no_damage(
        self, url: str, name: str, db: psycopg.Connection
    ) -> None:
        with open_store(url) as store, ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                store.put("a.md", b"x")
                reads = [pool.submit(store.get, "a.md") for _ in range(40)]
                db.execute(f"DROP TABLE {name}_documents, {name}_appended".encode())
                for read in reads:
                    blob = read.result()
                    assert blob is None or blob.data == b"x"

    def test_need_a_database_in_utf8(self, new_database: Callable[[str], str]) -> None:
        url = new_database("TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
        with open_store(url) as store, pytest.raises(UnsupportedError, match="LATIN1"):
            store.put("a.md", b"x")

    def test_sort_as_everywhere_whatever_the_database_does(
        self, new_database: Callable[[str], str]
    ) -> None:
        options = "TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
        keys = ["a/b.md", "a/ä.md", "a/Z.md", "a-b/c.md", "a/\U0001f600.md", "a/\uffee.md"]
        with open_store(new_database(options)) as store:
            for key in keys:
                store.put(key, b"x")
            assert [each.key for each in store.scan()] == sorted(keys)
            assert [each.key for each in store.scan("a")] == sorted(keys)[1:]


class TestWhatIsInThem:
    def test_has_any_character_that_a_session_has(self, url: str) -> None:
        odd = ["\0", "\0\0", "\0\1", "\1", "\1\0", "\1\1", "\2", "a", "a\0", "a\1"]
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        with open_store(url) as store:
            sessions = Sessions(store)
            for text in odd:
                session = sessions.get_or_create(f"user {text}", f"s{text}")
                session.metadata["project_ids"] = text
                session.updated_at = moment
                sessions.save(session)
            assert [each.id for each in sessions.list()] == sorted(f"s{text}" for text in odd)
            for text in odd:
                assert [each.id for each in sessions.list(project_id=text)] == [f"s{text}"]
                (found,) = sessions.list(user_id=f"user {text}")
                assert found.user_id == f"user {text}"
            paged, cursor = [], None
            for _ in odd:
                page = sessions.list(limit=1, cursor=cursor)
                paged += [each.id for each in page]
                cursor = page.cursor
            assert paged == sorted(f"s{text}" for text in odd)

    def test_is_counted_and_found_by_each_field(self, url: str) -> None:
        with open_store(url) as store:
            sessions = Sessions(store)
            session = sessions.get_or_create("ada", "s")
            session.add_agent_response("x", phase_reached="plan")
            sessions.save(session)
            able = power(store, SupportsQuery)
            assert able
            for wanted in (Filter(last_phase="plan"), Filter(user_id="ada"), Filter()):
                assert able.count("sessions", wanted, known=1) == 1
            assert able.count("sessions", Filter(user_id="eve"), known=1) == 0

    def test_is_no_larger_than_the_option_says(self, url: str) -> None:
        with open_store(f"{url}&max_document_bytes=1000") as store:
            version = store.put("a.md", b"x" * 999)
            for write in (
                lambda: store.put("a.md", b"x" * 1001),
                lambda: store.append("a.md", b"xx", expect=version),  # type: ignore[attr-defined]
            ):
                with pytest.raises(InvalidDocumentError, match="1001 bytes") as caught:
                    write()
                assert caught.value.landed == "no"
            with open_store(f"{url}&max_document_bytes=10") as small:
                with pytest.raises(CorruptDataError, match="999 bytes"):
                    small.get("a.md")
                (entry,) = small.scan()
                assert entry.size == 999
        with pytest.raises(ConfigError, match="max_document_bytes"):
            open_store(f"{url}&max_document_bytes={2**30}")

    @pytest.mark.rest
    def test_may_be_as_large_as_is_said(self, url: str) -> None:
        with open_store(url) as store:
            data = secrets.token_bytes(2**20) * 256
            version = store.put("a.md", data)
            blob = store.get("a.md")
            assert blob
            assert blob.version == version
            assert blob.data == data

    def test_is_what_was_appended_in_order(self, url: str) -> None:
        with open_store(url) as store:
            version = store.put("a.md", b"")
            for n in range(30):
                version = store.append("a.md", b"%d," % n, expect=version)  # type: ignore[attr-defined]
            expected = b"".join(b"%d," % n for n in range(30))
            assert store.get("a.md").data == expected  # type: ignore[union-attr]
            version = store.put("a.md", b"new", expect=version)
            store.append("a.md", b"er", expect=version)  # type: ignore[attr-defined]
            assert store.get("a.md").data == b"newer"  # type: ignore[union-attr]


def test_statements_are_as_few_as_the_page_says(url: str) -> None:
    def statements(call: Callable[[], object]) -> int:
        events: list[object] = []
        with Emitter(store, [events.append], "test").operation("counted"):
            call()
        return sum(each.requests for each in events if isinstance(each, OperationFinished))

    def conflicts() -> None:
        with pytest.raises(ConflictError):
            store.put("a.md", b"y", expect=ABSENT)

    with open_store(url) as store:
        assert isinstance(store, PostgresStore)
        version = store.put("a.md", b"x")  # which creates the tables
        assert statements(lambda: store.get("a.md")) == 1
        assert statements(lambda: store.append("a.md", b"x", expect=version)) == 1
        assert statements(lambda: store.put("a.md", b"x")) == 1
        assert statements(conflicts) == 2
        assert statements(lambda: store.delete("a.md")) == 1
        keys = [f"{number}.md" for number in range(501)]
        assert statements(lambda: [*store.get_many(keys[:64])]) == 2
        assert statements(lambda: store.delete_many(keys)) == 2
        sessions = Sessions(store)
        for number in range(20):
            sessions.get_or_create("ada", f"s{number}")
        assert statements(lambda: [*store.scan()]) == 1
        assert statements(lambda: sessions.list(limit=10)) == 1
        costs = []
        for most, victims in ((10, 10), (9, 1)):
            strategy = load_pruner("max-sessions", max_sessions=most)
            assert statements(lambda: sessions.plan_prune(strategy)) == 1  # noqa: B023
            plan = sessions.plan_prune(strategy)
            assert len(plan.victims) == victims
            costs.append(statements(lambda: sessions.prune(plan)))  # noqa: B023
        assert costs[0] == costs[1]
