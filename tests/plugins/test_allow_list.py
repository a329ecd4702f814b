"""STATEKEEP_PLUGINS says whose code may run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.conftest import Environment

pytestmark = pytest.mark.rest


ACME = "open_store('acme://box.db?tenant=blue')"


@pytest.mark.parametrize("allowed", ["acme-statekeep", "other , Acme_Statekeep,", "acme.statekeep"])
def test_a_distribution_on_the_list_may_be_loaded(
    environment: Callable[..., Environment], allowed: str
) -> None:
    assert environment("acme").error_of(ACME, STATEKEEP_PLUGINS=allowed) == ("", "no error")


@pytest.mark.parametrize("allowed", ["", ",", "rival-statekeep", "acme"])
def test_no_other_may_be_loaded(environment: Callable[..., Environment], allowed: str) -> None:
    assert environment("acme").error_of(ACME, STATEKEEP_PLUGINS=allowed) == (
        "PluginNotFoundError",
        "acme-statekeep offers 'acme', but is not on the allow-list STATEKEEP_PLUGINS",
    )


def test_strategies_observers_and_named_distributions_are_held_to_it_too(
    environment: Callable[..., Environment],
) -> None:
    acme = environment("acme")
    for asked in (
        ACME.replace("acme:", "acme-statekeep+acme:"),
        "load_pruner('odd')",
        "open_sessions(load_settings(observers='recorder')).__enter__()",
    ):
        kind, message = acme.error_of(asked, STATEKEEP_PLUGINS="")
        assert kind == "PluginNotFoundError"
        assert "not on the allow-list" in message


def test_what_is_built_in_needs_no_permission(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "rival").python(
        "tell([repr(open_store('memory:')), load_pruner('ttl').ttl_hours])", STATEKEEP_PLUGINS=""
    )
    assert done.told == ["memory:", 168.0]
    # Nor is there anything to warn of: the rival is out of the game.
    assert not done.err


def test_what_is_not_allowed_makes_no_conflict(environment: Callable[..., Environment]) -> None:
    done = environment("acme", "rival").python(
        "tell(repr(open_store('acme://box.db')))", STATEKEEP_PLUGINS="rival-statekeep"
    )
    assert done.told == "the rival's"


def test_the_list_of_plugins_shows_what_is_blocked_and_does_not_run_it(
    environment: Callable[..., Environment],
) -> None:
    everyone = environment("acme", "rival", "broken")
    plugins = everyone.plugins(STATEKEEP_PLUGINS="acme-statekeep")
    status = {(place[2], each["status"]) for place, each in plugins.items()}
    assert status == {
        ("statekeep", "ok"),
        ("statekeep", "incomplete"),  # an extra is not installed here
        ("acme-statekeep", "ok"),
        ("rival-statekeep", "blocked"),
        ("broken-statekeep", "blocked"),
    }
    blocked = plugins["backends", "memory", "rival-statekeep"]
    assert blocked["error"] == "not on the allow-list STATEKEEP_PLUGINS"
    assert not blocked["schema"]

    done = everyone.python(
        """
from statekeep.config.opening import installed_plugins
installed_plugins().list()
tell(imported("rival_statekeep") + imported("broken_statekeep"))
""",
        STATEKEEP_PLUGINS="acme-statekeep",
    )
    assert done.told == []
    assert not done.err
