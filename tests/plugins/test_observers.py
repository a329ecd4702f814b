"""Observers hear of everything after the fact, and none can spoil it for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.conftest import Environment


PROGRAM = """
with open_sessions() as sessions:
    session = sessions.get_or_create("ada", "plan")
    stale = sessions.load("plan")
    session.add_user_message("Hello")
    sessions.save(session)
    try:
        sessions.save(stale)
    except ConflictError:
        sessions.prune(load_pruner("odd"))
tell(Path("record.txt").read_text().splitlines())
"""
HEARD = [
    *("SessionSaved", "OperationFinished"),
    "OperationFinished",
    *("SessionSaved", "OperationFinished"),
    *("ConflictDetected", "OperationFinished"),
    *("SessionDeleted", "PruneFinished", "OperationFinished"),
]


def test_an_observer_hears_what_happened(environment: Callable[..., Environment]) -> None:
    done = environment("acme").python(
        PROGRAM,
        STATEKEEP_URL="memory:",
        STATEKEEP_OBSERVERS="recorder",
        ACME_RECORD="record.txt",
    )
    record = done.told
    assert [line.partition("(")[0] for line in record] == HEARD
    assert "session_id='plan', user_id='ada'" in record[0]
    assert record[0].endswith("created=True)")
    assert "operation='Sessions.get_or_create', subject='plan', outcome='ok'" in record[1]
    assert record[3].endswith("created=False)")
    assert record[5] == "ConflictDetected(store='memory:', key='sessions/plan.json')"
    assert "outcome='ConflictError'" in record[6]
    assert (
        record[7]
        == "SessionDeleted(store='memory:', session_id='plan', pruned=True, trashed=False)"
    )
    assert not done.err


def test_one_that_raises_is_logged_and_the_others_still_hear(
    environment: Callable[..., Environment],
) -> None:
    done = environment("acme", "clumsy").python(
        PROGRAM,
        STATEKEEP_URL="memory:",
        STATEKEEP_OBSERVERS="raises,recorder",
        ACME_RECORD="record.txt",
    )
    assert [line.partition("(")[0] for line in done.told] == HEARD
    for event in HEARD:
        assert f"RuntimeError: cannot cope with {event}" in done.err
    assert "clumsy_statekeep" in done.err
    assert done.err.count(" failed on ") == len(HEARD)


def test_none_can_change_what_the_others_hear(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "clumsy").python(
        PROGRAM,
        STATEKEEP_URL="memory:",
        STATEKEEP_OBSERVERS="alters,recorder",
        ACME_RECORD="record.txt",
    )
    assert len(done.told) == len(HEARD)
    assert all("store='memory:'" in line for line in done.told)
    assert done.err.count("FrozenInstanceError") == len(HEARD)


def test_only_those_who_are_configured_hear(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "clumsy", "rival").python(
        "with open_sessions() as sessions:\n    sessions.get_or_create('ada')\n"
        "tell(imported('acme_') + imported('clumsy_') + imported('rival_'))",
        STATEKEEP_URL="statekeep+memory:",
    )
    assert done.told == []
    assert not done.err


def test_an_observer_that_raises_does_not_change_what_a_command_prints_or_ends_with(
    environment: Callable[..., Environment],
) -> None:
    clumsy = environment("clumsy")
    made = "Sessions(open_store('./data')).get_or_create('ada', 'plan')\ntell('made')"
    assert clumsy.python(made).told == "made"
    done = clumsy.statekeep(
        "sessions",
        "delete",
        "plan",
        "--json",
        "--store=data",
        STATEKEEP_OBSERVERS="raises",
    )
    assert done.told == {"deleted": ["plan"], "failed": []}
    assert "failed on SessionDeleted" in done.err
    assert "Traceback" not in done.err


def test_an_unknown_observer_is_refused_before_anything_is_stored(
    environment: Callable[..., Environment],
) -> None:
    acme = environment("acme")
    kind, message = acme.error_of(
        "open_sessions().__enter__()", STATEKEEP_URL="./data", STATEKEEP_OBSERVERS="recorde"
    )
    assert kind == "PluginNotFoundError"
    assert "no observer 'recorde' is installed; did you mean 'recorder'?" in message
    assert not (acme.folder / "data").exists()
