"""A broken plugin breaks only those who ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from plugins.conftest import Environment

pytestmark = pytest.mark.rest


BROKEN = {
    ("backends", "absent"): "No module named 'broken_statekeep.absent'",
    ("backends", "fails"): "its statekeep_backends() failed: RuntimeError('no licence found')",
    ("backends", "needs"): "No module named 'a_library_that_is_not_installed'",
    ("backends", "quits"): "importing it failed: SystemExit('this machine has no Acme')",
    ("backends", "renamed"): "its entry point is 'renamed', but it offers 'former'",
    (
        "backends",
        "vague",
    ): "its statekeep_backends() gave 'vague', which is not of type BackendSpec",
    ("pruners", "mistaken"): "its statekeep_pruners() failed: TypeError(",
    ("observers", "deaf"): "it has no function statekeep_event marked with hookimpl",
}


@pytest.mark.parametrize(("group", "name"), BROKEN)
def test_who_asks_for_a_broken_plugin_is_told_whose_it_is_and_why(
    environment: Callable[..., Environment], group: str, name: str
) -> None:
    asked = {
        "backends": f"open_store('{name}://x')",
        "pruners": f"load_pruner('{name}')",
        "observers": f"open_sessions(load_settings(observers='{name}')).__enter__()",
    }
    kind, message = environment("broken").error_of(asked[group])
    assert kind == "PluginLoadError"
    assert f"the plugin {name!r} (broken_statekeep.{name}) of broken-statekeep 0.0.1" in message
    assert BROKEN[group, name] in message


def test_the_error_has_its_cause(environment: Callable[..., Environment]) -> None:
    done = environment("broken").python("""
causes = []
for _ in range(2):
    try:
        open_store("needs://x")
    except PluginLoadError as error:
        causes.append(type(error.__cause__).__name__)
tell(causes)
""")
    assert done.told == ["ModuleNotFoundError", "ModuleNotFoundError"]


def test_nobody_else_notices(environment: Callable[..., Environment]) -> None:
    done = environment("broken", "misspelt", "acme").python("""
with open_store("acme://box.db?tenant=blue") as store, open_store("memory:") as other:
    Sessions(store).get_or_create("ada", "plan")
    Sessions(other).prune(load_pruner("ttl"))
    tell([each.id for each in Sessions(store).list()])
""")
    assert done.told == ["plan"]
    assert not done.err


def test_the_command_line_goes_on_too(environment: Callable[..., Environment]) -> None:
    done = environment("broken").statekeep("sessions", "list", "--json", "--store", "memory:")
    assert done.told == {"sessions": [], "problems": [], "cursor": None}
    assert done.err == "note: a store in memory is empty in each new process\n"


def test_the_command_line_says_what_is_broken_and_ends_with_2(
    environment: Callable[..., Environment],
) -> None:
    done = environment("broken").statekeep("sessions", "list", "--store", "needs://x")
    assert done.code == 2
    assert "broken-statekeep 0.0.1 is broken" in done.err
    assert "Traceback" not in done.err


def test_the_list_of_plugins_shows_what_is_broken_and_lists_the_rest(
    environment: Callable[..., Environment],
) -> None:
    plugins = environment("broken", "acme").plugins()
    broken = {
        (group, name): each
        for (group, name, distribution), each in plugins.items()
        if distribution == "broken-statekeep"
    }
    assert broken.keys() == BROKEN.keys()
    for place, each in broken.items():
        assert each["status"] == "broken"
        assert BROKEN[place] in each["error"]
        assert each["version"] == "0.0.1"
        assert not each["summary"]
        assert not each["schema"]
    others = {each["status"] for each in plugins.values() if each not in broken.values()}
    assert others == {"ok", "incomplete"}


def test_the_list_of_plugins_warns_of_each_broken_one(
    environment: Callable[..., Environment],
) -> None:
    done = environment("broken", "acme").statekeep("plugins")
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: the plugin")]
    assert len(warnings) == len(BROKEN)
    assert "Traceback" not in done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert ["backends", "needs", "broken-statekeep", "0.0.1", "broken"] in [row[:5] for row in rows]


def test_a_misspelt_hook_is_found(environment: Callable[..., Environment]) -> None:
    misspelt = environment("misspelt")
    kind, message = misspelt.error_of("open_store('typo://x')")
    assert kind == "PluginLoadError"
    assert "unknown hook 'statekeep_backend'" in message
    assert misspelt.plugins()["backends", "typo", "misspelt-statekeep"]["status"] == "broken"


def test_a_misspelt_hook_is_found_again_and_harms_no_plugin_loaded_later(
    environment: Callable[..., Environment],
) -> None:
    done = environment("misspelt", "acme").python("""
found = []
for _ in range(2):
    try:
        open_store("typo://x")
    except PluginLoadError as error:
        found.append("unknown hook 'statekeep_backend'" in str(error))
    open_store("acme://box.db?tenant=blue")
    load_pruner("odd")
tell(found)
""")
    assert done.told == [True, True]


def test_a_function_without_its_mark_is_warned_of_once(
    environment: Callable[..., Environment],
) -> None:
    done = environment("misspelt").python("""
tell([repr(open_store("forgetful://x")), repr(open_store("forgetful://y"))])
""")
    assert done.told == ["memory:", "memory:"]
    assert done.err.splitlines() == [
        f"misspelt-statekeep: the function {name} of misspelt_statekeep.forgetful looks like a "
        "hook, but is not marked with hookimpl"
        for name in ("statekeep_event", "statekeep_pruners")
    ]


def test_a_plugin_whose_only_hook_lacks_its_mark_is_broken(
    environment: Callable[..., Environment],
) -> None:
    misspelt = environment("misspelt")
    kind, message = misspelt.error_of("load_pruner('bare')")
    assert kind == "PluginLoadError"
    assert "it has no function statekeep_pruners marked with hookimpl" in message
    done = misspelt.statekeep("plugins")
    assert done.code == 0
    assert "the function statekeep_pruners of misspelt_statekeep.bare looks like a hook" in done.err


def test_a_backend_that_fails_to_open_is_broken_too(
    environment: Callable[..., Environment],
) -> None:
    clumsy = environment("clumsy")
    kind, message = clumsy.error_of("open_store('late://x')")
    assert kind == "PluginLoadError"
    assert "clumsy-statekeep 0.1.0" in message
    assert "No module named 'a_library_that_is_not_installed'" in message
    done = clumsy.statekeep("sessions", "list", "--store", "late://x")
    assert done.code == 2
    assert "Traceback" not in done.err


def test_a_strategy_cannot_delete_what_it_was_not_shown(
    environment: Callable[..., Environment],
) -> None:
    done = environment("clumsy").python("""
sessions = Sessions(open_store("memory:"))
for name in ("plan", "pinned"):
    sessions.get_or_create("ada", name)
sessions.pin("pinned")
try:
    sessions.prune(load_pruner("greedy"))
except PluginError as error:
    tell([str(error), sorted(each.id for each in sessions.list())])
""")
    message, left = done.told
    assert "chose 'pinned', which it was not shown; nothing was pruned" in message
    assert left == ["pinned", "plan"]
