"""A third party's distribution works like what is built in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.conftest import Environment

pytestmark = pytest.mark.rest


def test_a_backend_opens_by_its_scheme_with_options_from_the_query(
    environment: Callable[..., Environment],
) -> None:
    told = environment("acme").python("""
with open_store("acme://box.db?tenant=blue&timeout=2") as store:
    tell([repr(store), Path("box.db").exists()])
""")
    assert told.told == ["acme:box.db?tenant=blue&timeout=2", False]


def test_options_come_as_arguments_too_and_have_defaults(
    environment: Callable[..., Environment],
) -> None:
    told = environment("acme").python("""
tell([
    repr(open_store("acme://box.db", tenant="blue")),
    repr(open_store("acme://box.db?tenant=blue", timeout=3)),
    repr(open_store("acme://box.db?tenant=blue", **{"journal-mode": "wal"})),
])
""")
    default, given, aliased = told.told
    assert default == aliased == "acme:box.db?tenant=blue&timeout=5"
    assert given == "acme:box.db?tenant=blue&timeout=3"


def test_sessions_and_documents_work_on_a_strangers_backend(
    environment: Callable[..., Environment],
) -> None:
    program = """
url = "acme://box.db?tenant=blue"
with open_store(url) as store:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada", "slack:C1/17.5")
    session.add_user_message("Hello")
    sessions.save(session)
    Documents(store).save_markdown("notes", "hello", "# Hello")
with open_store(url) as store, open_store("acme://box.db?tenant=red") as other:
    sessions = Sessions(store)
    mine, theirs = sessions.load("slack:C1/17.5"), sessions.load("slack:C1/17.5")
    theirs.add_user_message("first")
    sessions.save(theirs)
    try:
        sessions.save(mine)
    except ConflictError:
        lost = "refused"
    tell({
        "listed": [[each.id, each.message_count] for each in sessions.list()],
        "lost update": lost,
        "document": Documents(store).load_markdown("notes", "hello").value,
        "other tenant": len(Sessions(other).list()),
    })
"""
    assert environment("acme").python(program).told == {
        "listed": [["slack:C1/17.5", 2]],
        "lost update": "refused",
        "document": "# Hello",
        "other tenant": 0,
    }


def test_a_strategy_is_loaded_by_its_name_and_prunes(
    environment: Callable[..., Environment],
) -> None:
    program = """
sessions = Sessions(open_store("memory:"))
for count in range(5):
    session = sessions.get_or_create("ada", str(count))
    for _ in range(count):
        session.add_user_message("Hello")
    sessions.save(session)
plan = sessions.plan_prune(load_pruner("odd", at_least=2))
report = sessions.prune(load_pruner("acme-statekeep:odd"))
tell([
    [[victim.summary.id, victim.reason] for victim in plan.victims],
    sorted(victim.summary.id for victim in report.pruned),
    sorted(each.id for each in sessions.list()),
])
"""
    planned, pruned, left = environment("acme").python(program).told
    assert planned == [["3", "3 is odd"]]
    assert pruned == ["1", "3"]
    assert left == ["0", "2", "4"]


def test_a_strategy_can_be_one_of_several(environment: Callable[..., Environment]) -> None:
    acme = environment("acme")
    program = """
with open_sessions() as sessions:
    for count in range(6):
        session = sessions.get_or_create("ada", str(count))
        for _ in range(count):
            session.add_user_message("Hello")
        sessions.save(session)
tell("made")
"""
    assert acme.python(program, STATEKEEP_URL="./data").told == "made"
    planned = acme.statekeep(
        "sessions",
        "prune",
        "--dry-run",
        "--json",
        STATEKEEP_URL="./data",
        STATEKEEP_RETENTION__MIN_IDLE="0",
        STATEKEEP_RETENTION__STRATEGY="any-of",
        STATEKEEP_RETENTION__OPTIONS__STRATEGIES=(
            '[{"strategy": "acme-statekeep:odd", "options": {"at_least": 3}},'
            ' {"strategy": "max-sessions", "options": {"max_sessions": 3}}]'
        ),
    ).told
    assert {each["id"]: each["reason"] for each in planned["would_prune"]} == {
        "3": "acme-statekeep:odd: 3 is odd",
        "5": "acme-statekeep:odd: 5 is odd",
        "0": "max-sessions: older than the newest 3",
    }


def test_the_command_line_uses_a_deployments_backend_strategy_and_observer(
    environment: Callable[..., Environment],
) -> None:
    acme = environment("acme")
    deployment = {
        "STATEKEEP_URL": "acme://box.db",
        "STATEKEEP_OPTIONS": '{"tenant": "blue"}',
        "STATEKEEP_RETENTION__MIN_IDLE": "0",
        "STATEKEEP_RETENTION__STRATEGY": "odd",
        "STATEKEEP_RETENTION__OPTIONS": '{"at_least": 3}',
        "STATEKEEP_OBSERVERS": "recorder",
        "ACME_RECORD": "record.txt",
    }
    made = """
with open_sessions() as sessions:
    for count in (1, 2, 3):
        session = sessions.get_or_create("ada", f"s{count}")
        for _ in range(count):
            session.add_user_message("Hello")
        sessions.save(session)
tell("made")
"""
    assert acme.python(made, **deployment).told == "made"
    listed = acme.statekeep("sessions", "list", "--json", **deployment).told
    assert sorted(each["id"] for each in listed["sessions"]) == ["s1", "s2", "s3"]

    planned = acme.statekeep("sessions", "prune", "--dry-run", "--json", **deployment).told
    assert [(each["id"], each["reason"]) for each in planned["would_prune"]] == [("s3", "3 is odd")]
    arguments = ("--strategy", "odd", "--set", "at_least=1", "--json")
    pruned = acme.statekeep("sessions", "prune", *arguments, **deployment).told
    assert sorted(each["id"] for each in pruned["pruned"]) == ["s1", "s3"]

    record = (acme.folder / "record.txt").read_text().splitlines()
    kinds = [line.partition("(")[0] for line in record]
    happened = [kind for kind in kinds if kind != "OperationFinished"]
    assert happened == ["SessionSaved"] * 6 + ["SessionDeleted"] * 2 + ["PruneFinished"]
    named = re.findall(r"operation='Sessions\.(\w+)'", "".join(record))
    assert named == ["get_or_create", "save"] * 3 + ["list", "plan_prune", "plan_prune", "prune"]


@pytest.mark.parametrize(
    ("asked", "imported"),
    [
        ("open_store('memory:')", []),
        ("load_pruner('ttl')", []),
        ("open_store('acme://box.db?tenant=blue')", ["acme_statekeep.store"]),
        ("load_pruner('odd')", ["acme_statekeep.pruning"]),
        (
            "open_sessions(load_settings(url='memory:', observers='recorder')).__enter__()",
            ["acme_statekeep.recording"],
        ),
    ],
)
def test_only_what_is_asked_for_is_imported(
    environment: Callable[..., Environment], asked: str, imported: list[str]
) -> None:
    told = environment("acme", "broken").python(
        f"{asked}\ntell(imported('acme_statekeep.') + imported('broken_statekeep'))"
    )
    assert told.told == imported


def test_not_even_what_is_built_in_is_imported_before_it_is_asked_for(
    environment: Callable[..., Environment],
) -> None:
    told = environment("acme").python("""
before = imported("statekeep_")
open_store("acme://box.db?tenant=blue")
tell([before, imported("statekeep_"), "statekeep_backends.local" in sys.modules])
""")
    assert told.told == [[], [], False]


@pytest.mark.parametrize("scheme", ["acne", "ACM", "acmee"])
def test_an_unknown_scheme_is_answered_with_what_was_meant(
    environment: Callable[..., Environment], scheme: str
) -> None:
    kind, message = environment("acme").error_of(f"open_store('{scheme}://box.db')")
    assert kind == "PluginNotFoundError"
    assert f"no backend {scheme.lower()!r} is installed; did you mean 'acme'?" in message
    assert "there are: acme, file, fsspec, memory, postgres, postgresql, redis, " in message


def test_an_unknown_strategy_is_answered_with_what_was_meant(
    environment: Callable[..., Environment],
) -> None:
    kind, message = environment("acme").error_of("load_pruner('od')")
    assert kind == "PluginNotFoundError"
    assert "no pruner 'od' is installed; did you mean 'odd'?" in message
    _, _, known = message.partition("there are: ")
    assert {"max-per-user", "max-sessions", "odd", "ttl", "ttl+count"} <= set(known.split(", "))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("open_store('acme://box.db?tenant=blue&colour=hush')", "colour: there is no such option"),
        (
            "open_store('acme://box.db?tenant=blue&timeout=hush')",
            "timeout: it takes a number, not this text",
        ),
        ("open_store('acme://box.db?tenant=HUSH hush')", "tenant: it takes text of the form"),
        (
            "open_store('acme://box.db', tenant='blue', timeout='hush')",
            "timeout: it takes a number, not this text",
        ),
        ("open_store('acme://box.db')", "tenant: it is missing"),
        ("load_pruner('odd', at_least='hush')", "at_least: it takes a whole number, not this text"),
        ("load_pruner('odd', at_most='hush')", "at_most: there is no such option"),
    ],
)
def test_wrong_options_are_named_without_their_values(
    environment: Callable[..., Environment], asked: str, why: str
) -> None:
    kind, message = environment("acme").error_of(asked)
    assert kind == "ConfigError"
    assert why in message
    assert "(known: tenant, timeout, " in message or "(known: at_least)" in message
    assert "hush" not in message


def test_a_wrong_option_is_not_shown_by_an_uncaught_error_either(
    environment: Callable[..., Environment],
) -> None:
    done = environment("acme").python("open_store('acme://box.db', tenant=' '.join(['hu', 'sh']))")
    assert done.code == 1
    assert "ConfigError" in done.err
    assert "hu sh" not in done.err


def test_the_options_that_are_said_to_be_known_are_taken(
    environment: Callable[..., Environment],
) -> None:
    acme = environment("acme")
    _, message = acme.error_of("open_store('acme://box.db?tenant=blue&colour=red')")
    assert "(known: tenant, timeout, journal-mode)" in message
    assert acme.error_of("open_store('acme://box.db?tenant=blue&journal-mode=wal')") == (
        "",
        "no error",
    )


def test_the_list_of_plugins_says_who_offers_what_with_which_options(
    environment: Callable[..., Environment],
) -> None:
    done = environment("acme").statekeep("plugins")
    assert done.code == 0
    assert not done.err
    cells = [re.split(" {2,}", line.rstrip()) for line in done.out.splitlines()]
    assert cells[0] == ["GROUP", "NAME", "DISTRIBUTION", "STATUS", "OPTIONS", "WHAT"]
    options = "tenant, timeout=5.0, journal-mode=delete"
    assert ["backends", "acme", "acme-statekeep 1.2.0", "ok", options, "a box of Acme's"] in cells
    what = "delete what is odd"
    assert ["pruners", "odd", "acme-statekeep 1.2.0", "ok", "at_least=1", what] in cells
    what = "Write down what happens."
    assert ["observers", "recorder", "acme-statekeep 1.2.0", "ok", what] in cells


def test_the_list_of_plugins_has_the_schemas_for_machines(
    environment: Callable[..., Environment],
) -> None:
    plugins = environment("acme").plugins()
    acme = plugins["backends", "acme", "acme-statekeep"]
    assert acme | {"schema": None} == {
        "group": "backends",
        "name": "acme",
        "distribution": "acme-statekeep",
        "version": "1.2.0",
        "status": "ok",
        "summary": "a box of Acme's",
        "error": "",
        "schema": None,
    }
    assert acme["schema"]["required"] == ["tenant"]
    assert acme["schema"]["additionalProperties"] is False
    assert acme["schema"]["properties"]["timeout"]["default"] == 5.0
    assert acme["schema"]["properties"]["journal-mode"]["enum"] == ["delete", "wal"]
    assert plugins["pruners", "odd", "acme-statekeep"]["schema"]["properties"]["at_least"]
    assert plugins["observers", "recorder", "acme-statekeep"]["schema"] == {}


def test_what_is_built_in_comes_in_by_the_same_door(
    environment: Callable[..., Environment],
) -> None:
    plugins = environment().plugins()
    assert {(group, name) for group, name, _ in plugins} == {
        ("backends", "file"),
        ("backends", "fsspec"),
        ("backends", "memory"),
        ("backends", "postgres"),
        ("backends", "postgresql"),
        ("backends", "redis"),
        ("backends", "rediss"),
        ("backends", "s3"),
        ("backends", "sqlite"),
        ("backends", "unix"),
        ("backends", "valkey"),
        ("commands", "browse"),
        ("importers", "claude-code"),
        ("importers", "codex"),
        ("importers", "langgraph"),
        ("importers", "openai-agents"),
        ("observers", "otel"),
        ("pruners", "any-of"),
        ("pruners", "expired"),
        ("pruners", "keep-last-per-phase"),
        ("pruners", "max-per-user"),
        ("pruners", "max-sessions"),
        ("pruners", "total-bytes"),
        ("pruners", "ttl"),
        ("pruners", "ttl+count"),
    }
    assert {distribution for _, _, distribution in plugins} == {"statekeep"}
    otel = plugins.pop(("observers", "otel", "statekeep"))
    assert otel["status"] == "incomplete"
    assert otel["error"].endswith("pip install 'statekeep[otel]'")
    assert {each["status"] for each in plugins.values()} == {"ok"}


def test_an_observer_whose_extra_is_missing_says_so_when_it_is_chosen(
    environment: Callable[..., Environment],
) -> None:
    plain = environment()
    kind, message = plain.error_of("open_sessions().__enter__()", STATEKEEP_OBSERVERS="otel")
    assert kind == "ConfigError"
    assert "(opentelemetry): pip install 'statekeep[otel]'" in message
    listed = plain.statekeep("plugins")
    assert listed.code == 0
    assert not listed.err
