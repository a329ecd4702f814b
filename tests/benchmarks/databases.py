"""On database servers of this machine, which flush what they acknowledge, as they do by default."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import servers

from benchmarks import on_postgres, on_valkey
from benchmarks.bench import Entry, folder
from benchmarks.conversations import SMALL
from benchmarks.journals import ONE_BY_ONE, WHOLE, longest_of, one_conversation
from benchmarks.local import each_session, list_every_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.bench import Bench

__all__ = ["BARE_POSTGRES", "IN_POSTGRES", "POSTGRES", "VALKEY", "databases"]

POSTGRES, VALKEY = "PostgreSQL", "Valkey"
IN_POSTGRES = f"statekeep, {POSTGRES}"
BARE_POSTGRES = "bare psycopg"
_SHARE = 15
_BEFORE = 20
"""Pages after which a connection is as quick as it gets: psycopg has prepared what recurs, and the
server knows its tables."""

_SESSIONS = {
    POSTGRES: [
        Entry(IN_POSTGRES, on_postgres.StatekeepInPostgres, "statekeep"),
        Entry(BARE_POSTGRES, on_postgres.BarePostgres, "floor"),
        Entry("openai-agents, SQLAlchemy", on_postgres.AgentsInPostgres, "peer"),
        Entry(f"langgraph, {POSTGRES}", on_postgres.GraphInPostgres, "peer"),
    ],
    VALKEY: [
        Entry(f"statekeep, {VALKEY}", on_valkey.StatekeepInValkey, "statekeep"),
        Entry("bare redis-py", on_valkey.BareValkey, "floor"),
        Entry("py-key-value, Redis", on_valkey.KeyValueInValkey, "peer"),
    ],
}
_TURNS = {
    POSTGRES: [
        Entry(f"{ONE_BY_ONE}, {POSTGRES}", on_postgres.PostgresJournal, "statekeep"),
        Entry(f"{WHOLE}, {POSTGRES}", on_postgres.PostgresSession, "statekeep"),
        Entry(BARE_POSTGRES, on_postgres.BarePostgresRows, "floor"),
        Entry("openai-agents, SQLAlchemy", on_postgres.AgentsSessionInPostgres, "peer"),
        Entry(f"langgraph, {POSTGRES}", on_postgres.GraphStateInPostgres, "peer"),
    ],
    VALKEY: [
        Entry(f"{ONE_BY_ONE}, {VALKEY}", on_valkey.ValkeyJournal, "statekeep"),
        Entry(f"{WHOLE}, {VALKEY}", on_valkey.ValkeySession, "statekeep"),
        Entry("bare redis-py", on_valkey.BareValkeyList, "floor"),
    ],
}


def databases(bench: Bench) -> None:
    """Save and load, list, and append to one conversation, on PostgreSQL and on Valkey."""
    with servers.postgres(fsync="on") as server, _valkey(bench) as make_place:

        def in_postgres() -> str:
            return on_postgres.place_in(server.url, _new_name())

        for name, new_place in ((POSTGRES, in_postgres), (VALKEY, make_place)):
            bench.part = "databases"
            _save_and_load(bench, name, new_place)
            bench.part = "journals: in databases"
            for _ in bench.rounds(min(3, bench.plan.rounds)):
                for entry in _measured(bench, _TURNS[name]):
                    one_conversation(bench, name, entry, new_place(), longest_of(bench))
        bench.part = "listing in databases"
        _list(bench, server, in_postgres)


def _save_and_load(bench: Bench, name: str, new_place: Callable[[], str]) -> None:
    entries = _measured(bench, _SESSIONS[name])
    for size, count in bench.plan.sizes.items():
        if size.kind == "plain":  # not all of them keep anything else
            for _ in bench.rounds(bench.plan.rounds):
                places = [new_place() for _ in entries]
                each_session(bench, name, entries, places, size, max(1, count // _SHARE))


def _list(bench: Bench, server: servers.Postgres, new_place: Callable[[], str]) -> None:
    import psycopg

    count = bench.plan.crowd
    places = {}
    for entry in _SESSIONS[POSTGRES]:
        if entry.subject.can("newest"):
            place = places[entry] = new_place()
            with bench.worker(entry, place) as worker:
                worker.call("prepare", SMALL, count)
                worker.call("each", "create")
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")  # as the server itself does once a minute
    for _ in bench.rounds(bench.plan.rounds):
        for entry, place in places.items():
            list_every_way(bench, entry, POSTGRES, place, count, before=_BEFORE)


def _measured(bench: Bench, entries: Sequence[Entry]) -> list[Entry]:
    return [each for each in entries if bench.plan.peers or each.kind != "peer"]


@contextmanager
def _valkey(bench: Bench) -> Iterator[Callable[[], str]]:
    always = "--appendonly", "yes", "--appendfsync", "always"
    with folder(bench.plan.disk) as base, servers.Valkey(Path(base), *always) as server:
        yield lambda: on_valkey.place_in(server.url, _new_name())


def _new_name() -> str:
    return f"t{secrets.token_hex(6)}"
