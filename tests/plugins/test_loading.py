"""Plugins that are wrong in rarer ways; here, what pip installs is written by hand."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from statekeep.errors import PluginLoadError
from statekeep.plugins.loader import PluginInfo, Plugins
from statekeep.transport import import_conversations
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Install = Callable[..., None]

OFFER = """
    from pydantic import BaseModel
    from statekeep.plugins import BackendSpec, ImporterSpec, PrunerSpec, hookimpl
    from statekeep_backends.memory import MemoryStore

    class Config(BaseModel, extra="forbid"):
        pass

    def offer(name, config=Config):
        return BackendSpec(name, "a summary", config, lambda url, config: MemoryStore())
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install `odd-statekeep`: one module, and its entry points by group."""

    def install(source: str, *, metadata: bool = True, **points: str) -> None:
        (tmp_path / "odd_module.py").write_text(dedent(OFFER) + dedent(source))
        info = tmp_path / "odd_statekeep-1.0.dist-info"
        info.mkdir()
        groups = (f"[statekeep.{group}]\n{name} = odd_module" for group, name in points.items())
        (info / "entry_points.txt").write_text("\n".join(groups))
        if metadata:
            (info / "METADATA").write_text(
                "Metadata-Version: 2.1\nName: odd-statekeep\nVersion: 1.0\n"
            )
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    yield install
    sys.modules.pop("odd_module", None)


def find(plugins: Plugins, name: str) -> PluginInfo:
    """What the list says of one plugin; of the rest it must say that all is well."""
    infos = plugins.list()
    assert {info.status for info in infos if info.distribution == "statekeep"} == {"ok"}
    return next(info for info in infos if info.name == name)


def test_a_hook_with_another_signature_is_broken(install: Install) -> None:
    install(
        """
        @hookimpl
        def statekeep_backends(settings):
            return [offer("odd")]
        """,
        backends="odd",
    )
    plugins = Plugins()
    for _ in range(2):
        with pytest.raises(PluginLoadError, match="'settings'"):
            plugins.backend("odd")
    assert find(plugins, "odd").status == "broken"


def test_a_hook_that_ends_the_program_is_broken(install: Install) -> None:
    install(
        """
        @hookimpl
        def statekeep_backends():
            raise SystemExit("no licence found")
        """,
        backends="odd",
    )
    plugins = Plugins()
    with pytest.raises(PluginLoadError, match="no licence found"):
        plugins.backend("odd")
    assert find(plugins, "odd").status == "broken"


def test_a_spec_of_another_kind_is_broken(install: Install) -> None:
    install(
        """
        @hookimpl
        def statekeep_pruners():
            return [offer("odd")]
        """,
        pruners="odd",
    )
    with pytest.raises(PluginLoadError, match="which is not of type PrunerSpec"):
        Plugins().pruner("odd")


def test_a_spec_without_a_config_model_is_broken(install: Install) -> None:
    install(
        """
        @hookimpl
        def statekeep_backends():
            return [offer("odd", config=None)]
        """,
        backends="odd",
    )
    plugins = Plugins()
    assert find(plugins, "odd").status == "broken"
    with pytest.raises(PluginLoadError):
        plugins.backend("odd")


def test_options_that_no_schema_can_describe_do_not_spoil_the_list(install: Install) -> None:
    install(
        """
        from collections.abc import Callable

        class Hook(BaseModel, extra="forbid"):
            sign: Callable[[bytes], bytes] | None = None

        @hookimpl
        def statekeep_backends():
            return [offer("odd", config=Hook)]
        """,
        backends="odd",
    )
    plugins = Plugins()
    assert plugins.backend("odd").name == "odd"
    assert find(plugins, "odd").schema == {}


def test_one_module_may_offer_several_things(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(
        """
        class Nothing(Config):
            def select(self, summaries, now):
                return ()

        @hookimpl
        def statekeep_backends():
            return (offer(name) for name in ("odd", "even"))

        @hookimpl
        def statekeep_pruners():
            return [PrunerSpec("odd", "", Nothing, lambda config: config)]

        @hookimpl
        def statekeep_event(event):
            pass
        """,
        backends="odd",
        pruners="odd",
        observers="odd",
    )
    plugins = Plugins()
    assert plugins.backend("odd").name == "odd"
    assert plugins.pruner("odd").name == "odd"
    assert callable(plugins.observer("odd"))
    assert not caplog.records


def test_a_hook_marked_for_another_name_is_not_said_to_lack_its_mark(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(
        """
        @hookimpl(specname="statekeep_backends")
        def statekeep_offer():
            return [offer("odd")]
        """,
        backends="odd",
    )
    assert Plugins().backend("odd").name == "odd"
    assert not caplog.records


def test_a_broken_plugin_in_the_list_is_warned_of(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("raise ImportError('a library is missing')", backends="odd")
    info = find(Plugins(), "odd")
    assert info.status == "broken"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == info.error
    assert "a library is missing" in info.error


def test_an_entry_point_that_names_no_module_is_broken(install: Install) -> None:
    install("", backends="odd = not a module!\nother")
    plugins = Plugins()
    with pytest.raises(PluginLoadError):
        plugins.backend("odd")
    assert find(plugins, "odd").status == "broken"


@pytest.mark.parametrize("name", ["odd", "memory"])
def test_what_a_failed_uninstall_left_behind_disturbs_nobody(install: Install, name: str) -> None:
    install("raise ImportError('half of it is gone')", metadata=False, backends=name)
    for allowed in (None, [], ["acme-statekeep"]):
        plugins = Plugins(allowed)
        assert plugins.backend("memory").summary.startswith("this process's memory")
        assert find(plugins, "file").status == "ok"


def test_many_threads_may_be_the_first_to_ask(often_interrupted: None) -> None:  # noqa: ARG001
    def ask(_: int) -> str:
        start.wait()
        return plugins.backend("memory").name

    start = Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            plugins = Plugins()
            assert list(threads.map(ask, range(8))) == ["memory"] * 8


@pytest.fixture
def often_interrupted() -> Iterator[None]:
    """Have threads switch as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


IMPORTER = """
    from pathlib import Path
    from statekeep.errors import ConflictError
    from statekeep.transport import ImportReport, ImportSource

    def find(path):
        {find}

    def sources(path):
        yield ImportSource(path, "odd", ("a",))
        {sources}

    def load(store, source, *, user_id=None, dry_run=False, progress=None):
        progress(1)
        {load}
        return ImportReport(str(source.path), "odd", ("a",), 1, 0, 0, ())

    @hookimpl
    def statekeep_importers():
        return [ImporterSpec("odd", "Imports.", find, sources, load)]
"""


def make_importer(**lines: str) -> str:
    given = {"find": "return [path]", "sources": "pass", "load": "pass", **lines}
    return IMPORTER.format(**given)


def test_an_importer_is_found_and_used(install: Install, tmp_path: Path) -> None:
    install(make_importer(), importers="odd")
    plugins = Plugins()
    info = find(plugins, "odd")
    assert (info.group, info.status, info.summary, info.schema) == (
        "importers",
        "ok",
        "Imports.",
        {},
    )
    seen: list[int] = []
    report = import_conversations(
        MemoryStore(), tmp_path, plugins.importer("odd-statekeep:odd"), progress=seen.append
    )
    assert (report.imported, report.added, seen) == (1, 1, [1])


@pytest.mark.parametrize("what", ["find", "sources", "load"])
def test_an_importer_that_fails_is_said_to_be_broken(
    install: Install, tmp_path: Path, what: str
) -> None:
    install(make_importer(**{what: "raise RuntimeError('oh')"}), importers="odd")
    importer = Plugins().importer("odd")
    message = rf"of odd-statekeep 1.0 is broken: its {what} failed: RuntimeError\('oh'\)"
    if what == "load":  # others may come in
        [failure] = import_conversations(MemoryStore(), tmp_path, importer).failures
        assert re.search(message, str(failure.error))
    else:
        with pytest.raises(PluginLoadError, match=message):
            import_conversations(MemoryStore(), tmp_path, importer)


def test_an_importer_may_refuse(install: Install, tmp_path: Path) -> None:
    install(make_importer(load="raise ConflictError('no')"), importers="odd")
    report = import_conversations(MemoryStore(), tmp_path, Plugins().importer("odd"))
    assert report.only_conflicts
    assert str(report.failures[0].error) == "no"


def test_what_is_no_importer_is_broken(install: Install) -> None:
    install(
        """
        @hookimpl
        def statekeep_importers():
            return [offer("odd")]
        """,
        importers="odd",
    )
    with pytest.raises(PluginLoadError, match="which is not of type ImporterSpec"):
        Plugins().importer("odd")
