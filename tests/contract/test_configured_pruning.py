"""Retention by configuration: sessions, and the journals of collections, each by its own table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import Journals, Retention, Session, Sessions, StateStore, load_pruner, open_store
from statekeep.config import load_settings, prune_configured
from statekeep.doctor import diagnose
from statekeep.errors import ConfigError, PluginNotFoundError
from statekeep.store.keys import STAMP, STAMPS, session_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from statekeep.config import Settings

AGED = timedelta(days=100)


def newest(count: int, **others: object) -> dict[str, object]:
    return {
        "strategy": "max-sessions",
        "options": {"max_sessions": count},
        "min_idle": "0",
        **others,
    }


def fill(store: StateStore) -> None:
    for n in range(4):
        moment = datetime.now(UTC) - AGED - timedelta(days=n)
        session = Session(id=f"s{n}", user_id="ada", created_at=moment, updated_at=moment)
        store.put(session_key(session.id), session.to_json())
        for collection in ("support", "notes", "other"):
            Journals(store, collection).open("ada", f"{n}").append([n])


def kept(store: StateStore) -> dict[str, int]:
    return {
        "sessions": len(Sessions(store).list()),
        **{name: len(Journals(store, name).list()) for name in ("support", "notes", "other")},
    }


@pytest.fixture
def url(new_location: Callable[[], str]) -> str:
    location = new_location()
    with open_store(location) as store:
        fill(store)
    return location


def configured(url: str, **tables: Any) -> Settings:
    return load_settings(url=url, **tables)


def test_each_is_pruned_by_its_own_table(url: str) -> None:
    settings = configured(
        url,
        retention=newest(3),
        journal_retention={"support": newest(1), "notes": newest(2), "absent": newest(1)},
    )
    before = {"sessions": 4, "support": 4, "notes": 4, "other": 4}
    counts: list[int] = []
    with open_store(url) as store:
        planned = prune_configured(settings, dry_run=True)
        assert kept(store) == before
        pruned = prune_configured(settings, progress=counts.append)
        assert kept(store) == {"sessions": 3, "support": 1, "notes": 2, "other": 4}
        assert diagnose(store).healthy
    for found in (planned, pruned):
        assert [each.collection for each in found] == [None, "absent", "notes", "support"]
        assert [len(each.plan.victims) for each in found] == [1, 0, 2, 3]
    assert all(each.report is None for each in planned)
    assert [len(each.report.pruned) for each in pruned if each.report] == [1, 0, 2, 3]
    assert counts == sorted(counts)
    assert counts[-1] == 6


def test_a_table_takes_nothing_from_another(url: str) -> None:
    settings = configured(
        url,
        retention=newest(1, trash="7d"),
        journal_retention={"support": {"strategy": "max-sessions", "options": {"max_sessions": 1}}},
    )
    of_sessions, of_support = prune_configured(settings)
    assert len(of_sessions.plan.victims) == 3
    # They were written just now, and a minute is the least if nothing is said.
    assert (len(of_support.plan.victims), len(of_support.plan.protected)) == (0, 4)
    with open_store(url) as store:
        assert len(Sessions(store).list_trash()) == 3
        assert not Journals(store, "support").list_trash()


def test_nothing_is_pruned_if_a_strategy_is_not_there_or_none_is_said(url: str) -> None:
    with open_store(url) as store:
        before = kept(store)
        with pytest.raises(PluginNotFoundError, match="'tll'"):
            prune_configured(
                configured(
                    url, retention=newest(1), journal_retention={"support": {"strategy": "tll"}}
                )
            )
        with pytest.raises(ConfigError, match="no pruning is configured"):
            prune_configured(configured(url))
        assert kept(store) == before


def trashed(store: StateStore) -> dict[str, int]:
    return {
        "sessions": len(Sessions(store).list_trash()),
        **{name: len(Journals(store, name).list_trash()) for name in ("support", "notes", "other")},
    }


def test_each_keeps_its_trash_for_as_long_as_it_says(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = load_pruner("max-sessions", max_sessions=3)
    with open_store(url) as store:
        Sessions(store).prune(strategy, trash=timedelta(days=90))
        for name in ("support", "notes", "other"):
            Journals(store, name).prune(strategy, trash=timedelta(days=90))
        assert trashed(store) == {"sessions": 1, "support": 1, "notes": 1, "other": 1}
        monkeypatch.setattr("statekeep.retention.pruner._DAY", timedelta(0))
        tables = {"support": newest(3, trash="0"), "notes": newest(3, trash="7d")}

        prune_configured(configured(url, journal_retention=tables))
        assert trashed(store) == {"sessions": 1, "support": 0, "notes": 1, "other": 1}
        # What is said of no collection goes with the sessions, as before.
        prune_configured(configured(url, retention=newest(3, trash="0"), journal_retention=tables))
        assert trashed(store) == {"sessions": 0, "support": 0, "notes": 1, "other": 0}


def test_saves_of_sessions_prune_all_that_is_configured_in_the_background(url: str) -> None:
    settings = configured(
        url,
        retention=newest(2, every="1h"),
        journal_retention={"support": newest(1, every="1d"), "notes": newest(1)},
    )
    with open_store(url) as store:
        with Sessions.open(settings) as sessions:
            sessions.get_or_create("ada", "new")
        assert kept(store)["support"] == 1
        assert kept(store)["sessions"] <= 3
        # Of this no `every` is said.
        assert kept(store)["notes"] == 4
        assert {STAMP, f"{STAMPS}/support.json"} <= {entry.key for entry in store.scan()}
        assert diagnose(store).findings == ()

        # Within the period nothing more happens, in no process.
        Journals(store, "support").open("ada", "more").append([1])
        with Sessions.open(settings) as sessions:
            sessions.get_or_create("ada", "newer")
        assert kept(store)["support"] == 2


def test_changes_of_journals_prune_their_collection_in_the_background(url: str) -> None:
    strategy = load_pruner("max-sessions", max_sessions=1)
    every = Retention(strategy, every=timedelta(0), min_idle=timedelta(0))
    with open_store(url) as store:
        with Journals(
            store, "support", journal_retention={"support": every, "notes": every}
        ) as journals:
            journals.open("ada", "new").append([1])
        assert kept(store) == {"sessions": 4, "support": 2, "notes": 4, "other": 4}
        with Journals(store, "other", journal_retention={"support": every}) as journals:
            journals.open("ada", "new").append([1])
        assert kept(store)["other"] == 5


def test_one_collection_is_not_pruned_by_two() -> None:
    retention = Retention(load_pruner("ttl"), collections=frozenset({"support"}))
    with open_store("memory:") as store:
        tables = {"support": retention}
        with pytest.raises(ValueError, match="both prune 'support'"):
            Sessions(store, retention=retention, journal_retention=tables)
        with pytest.raises(ValueError, match="both prune 'support'"):
            Journals(store, "support", retention=retention, journal_retention=tables)


@pytest.mark.usefixtures("empty_folder")
def test_an_adapter_needs_no_strategy_of_another_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STATEKEEP_JOURNAL_RETENTION__OTHER__STRATEGY", "not-installed")
    monkeypatch.setenv("STATEKEEP_JOURNAL_RETENTION__OTHER__EVERY", "1h")
    adapter = import_module("statekeep_adapters._adapter").Adapter
    adapter("memory:", "support").close()
    with pytest.raises(PluginNotFoundError, match="not-installed"):
        adapter("memory:", "other")


def test_an_adapter_that_has_a_url_goes_by_the_configuration(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"strategy": "max-sessions", "options": {"max_sessions": 1}, "min_idle": "0"}
    monkeypatch.setenv(
        "STATEKEEP_JOURNAL_RETENTION", json.dumps({"support": {**table, "every": "1h"}})
    )
    adapter = import_module("statekeep_adapters._adapter").Adapter
    ours = Retention(load_pruner("max-sessions", max_sessions=3), min_idle=timedelta(0))
    with open_store(url) as store:
        for given, options in ((store, {}), (url, {"retention": ours}), (url, {})):
            store.delete(STAMP)
            with adapter(given, "support", **options) as made:
                made._journals.open("ada", "new").append([1])
            expected = 5 if given is store else 4 if options else 2
            assert len(Journals(store, "support").list()) <= expected
            assert (given is store) == (len(Journals(store, "support").list()) == 5)
