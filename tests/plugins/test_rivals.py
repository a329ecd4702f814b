"""Names that several distributions offer: never a silent choice, never a stolen built-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.conftest import Environment

pytestmark = pytest.mark.rest


ACME = "acme:box.db?tenant=blue&timeout=5"


@pytest.mark.parametrize(
    ("asked", "example"),
    [
        ("open_store('acme://box.db?tenant=blue')", "acme-statekeep+acme"),
        ("load_pruner('odd')", "acme-statekeep:odd"),
        (
            "open_sessions(load_settings(observers='recorder')).__enter__()",
            "acme-statekeep:recorder",
        ),
    ],
)
@pytest.mark.parametrize("order", [("acme", "rival"), ("rival", "acme")])
def test_two_that_offer_one_name_are_both_named(
    environment: Callable[..., Environment], order: tuple[str, str], asked: str, example: str
) -> None:
    kind, message = environment(*order).error_of(asked)
    assert kind == "PluginConflictError"
    assert "acme-statekeep and rival-statekeep offer" in message
    assert f"as {example}" in message


def test_a_conflict_loads_neither(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "rival").python("""
try:
    open_store("acme://box.db?tenant=blue")
except PluginConflictError:
    tell(imported("acme_statekeep") + imported("rival_statekeep"))
""")
    assert done.told == []


def test_the_distribution_chooses(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "rival").python("""
tell([
    repr(open_store("acme-statekeep+acme://box.db?tenant=blue")),
    repr(open_store("rival-statekeep+acme://box.db")),
    repr(open_store("Rival_Statekeep+acme://box.db")),
    type(load_pruner("acme-statekeep:odd", at_least=3)).__name__,
    type(load_pruner("rival-statekeep:odd")).__name__,
])
""")
    assert done.told == [ACME, "the rival's", "the rival's", "Odd", "Everything"]
    assert not done.err


def test_the_distribution_chooses_between_observers(
    environment: Callable[..., Environment],
) -> None:
    done = environment("acme", "rival").python(
        """
with open_sessions() as sessions:
    sessions.get_or_create("ada", "plan")
tell(Path("record.txt").read_text().partition("(")[0])
""",
        STATEKEEP_URL="statekeep+memory:",
        STATEKEEP_OBSERVERS="rival-statekeep:recorder, acme-statekeep:recorder",
        ACME_RECORD="record.txt",
    )
    assert done.told == "SessionSaved"
    assert done.err.splitlines() == [
        "the rival heard of SessionSaved",
        "the rival heard of OperationFinished",
    ]


def test_a_conflict_concerns_nobody_else(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "rival").python("""
tell(type(load_pruner("max-sessions")).__name__)
""")
    assert done.told == "MaxSessions"
    assert not done.err


@pytest.mark.parametrize(
    ("asked", "mine"),
    [
        ("open_store('memory:')", "memory:"),
        ("open_store('file:data')", "data"),
        ("open_store('./data')", "data"),
        ("open_store()", "statekeep-data"),
        ("load_pruner('ttl')", "ttl_hours=168.0"),
    ],
)
def test_what_is_built_in_cannot_be_hijacked(
    environment: Callable[..., Environment], asked: str, mine: str
) -> None:
    done = environment("rival").python(f"tell([repr({asked}), imported('rival_statekeep')])")
    text, imported = done.told
    assert mine in text
    assert "rival" not in text
    assert imported == []
    assert "rival-statekeep offers" in done.err
    assert "a built-in is never replaced" in done.err


@pytest.mark.parametrize(
    ("asked", "choice"),
    [
        ("open_store('memory:')", "rival-statekeep+memory"),
        ("load_pruner('ttl')", "rival-statekeep:ttl"),
    ],
)
def test_the_warning_of_a_hijack_says_how_the_other_is_really_chosen(
    environment: Callable[..., Environment], asked: str, choice: str
) -> None:
    done = environment("rival").python(asked)
    assert done.code == 0
    assert f"choose it with {choice}\n" in done.err


def test_a_shadowed_plugin_is_still_there_for_who_names_its_distribution(
    environment: Callable[..., Environment],
) -> None:
    done = environment("rival").python("""
tell([
    repr(open_store("rival-statekeep+memory:")),
    repr(open_store("statekeep+memory:")),
    type(load_pruner("rival-statekeep:ttl")).__name__,
    type(load_pruner("statekeep:ttl")).__name__,
])
""")
    assert done.told == ["the rival's", "memory:", "Everything", "TimeToLive"]
    assert not done.err


def test_the_list_of_plugins_shows_conflicts_and_what_is_shadowed(
    environment: Callable[..., Environment],
) -> None:
    plugins = environment("acme", "rival").plugins()
    status = {place: each["status"] for place, each in plugins.items() if each["status"] != "ok"}
    assert status == {
        ("backends", "acme", "acme-statekeep"): "conflict",
        ("backends", "acme", "rival-statekeep"): "conflict",
        ("backends", "file", "rival-statekeep"): "shadowed",
        ("backends", "memory", "rival-statekeep"): "shadowed",
        ("pruners", "odd", "acme-statekeep"): "conflict",
        ("pruners", "odd", "rival-statekeep"): "conflict",
        ("pruners", "ttl", "rival-statekeep"): "shadowed",
        ("observers", "otel", "statekeep"): "incomplete",
        ("observers", "recorder", "acme-statekeep"): "conflict",
        ("observers", "recorder", "rival-statekeep"): "conflict",
    }


def test_the_list_of_plugins_says_how_each_of_them_is_really_chosen(
    environment: Callable[..., Environment],
) -> None:
    for (group, name, distribution), each in environment("acme", "rival").plugins().items():
        if each["status"] in {"conflict", "shadowed"}:
            separator = "+" if group == "backends" else ":"
            assert each["error"] == f"choose it with {distribution}{separator}{name}"


@pytest.mark.parametrize(
    "asked", ["open_store('nobody+acme://box.db')", "load_pruner('nobody:odd')"]
)
def test_a_wrong_distribution_is_answered_with_who_offers_the_name(
    environment: Callable[..., Environment], asked: str
) -> None:
    kind, message = environment("acme").error_of(asked)
    assert kind == "PluginNotFoundError"
    assert "nobody offers no" in message
    assert "acme-statekeep" in message
    # Neither the name nor a folder was what went wrong.
    assert "did you mean 'acme'" not in message
    assert "did you mean 'odd'" not in message
    assert "if you mean a folder" not in message
