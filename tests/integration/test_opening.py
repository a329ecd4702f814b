"""Opening sessions, using them at once, and closing them."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from statekeep import (
    AsyncSessions,
    Documents,
    Retention,
    Session,
    Sessions,
    load_pruner,
    open_sessions,
    open_store,
)
from statekeep.config import load_settings
from statekeep.errors import ClosedError, UnsupportedError
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from statekeep import StateStore

    Open = Callable[..., Sessions]

pytestmark = pytest.mark.usefixtures("empty_folder")


class Watched(MemoryStore):
    """Knows how often it was closed."""

    closings = 0

    def close(self) -> None:
        self.closings += 1
        super().close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The store that is opened, whatever is configured."""
    store = Watched()
    monkeypatch.setattr("statekeep.config.opening._make_store", lambda *_: store)
    return store


@pytest.fixture(params=[open_sessions, Sessions.open])
def opening(request: pytest.FixtureRequest) -> Open:
    """Each way to open what is configured."""
    function: Open = request.param
    return function


class TestOpening:
    def test_gives_what_can_be_used_at_once(self, opening: Open, watched: Watched) -> None:
        sessions = opening()
        assert isinstance(sessions, Sessions)
        sessions.get_or_create("ada", "s")
        assert sessions.load("s")
        sessions.close()
        assert watched.closings == 1

    def test_gives_a_context_manager_that_is_itself(self, opening: Open, watched: Watched) -> None:
        opened = opening()
        with opened as sessions:
            assert sessions is opened
            assert watched.closings == 0
        assert watched.closings == 1

    def test_takes_what_open_store_takes(self, opening: Open, empty_folder: Path) -> None:
        for config in ("./a", empty_folder / "a", load_settings(url="./a")):
            with opening(config) as sessions:
                sessions.get_or_create("ada", "s")
        with open_store("./a") as store:
            assert [each.id for each in Sessions(store).list()] == ["s"]

    def test_takes_a_path_to_the_letter(self, opening: Open, empty_folder: Path) -> None:
        with opening(empty_folder / "a?b=c") as sessions:
            sessions.get_or_create("ada")
        assert (empty_folder / "a?b=c").is_dir()

    def test_closes_the_store_if_it_fails(self, opening: Open, monkeypatch: Any) -> None:
        class NoConditions(Watched):
            @property
            def capabilities(self) -> Any:
                from statekeep.store import Capabilities

                return Capabilities(conditional_put=False, conditional_delete=False, shared=False)

        store = NoConditions()
        monkeypatch.setattr("statekeep.config.opening._make_store", lambda *_: store)
        with pytest.raises(UnsupportedError):
            opening()
        assert store.closings == 1

    def test_keeps_to_the_class_that_is_asked(self) -> None:
        class Ours(Sessions):
            pass

        with Ours.open("memory:") as sessions:
            assert type(sessions) is Ours

    def test_ends_pruning_before_it_closes_the_store(self, watched: Watched) -> None:
        settings = load_settings(retention={"strategy": "ttl", "every": "0"})
        with open_sessions(settings) as sessions:
            sessions.get_or_create("ada")
            background = sessions._background
        assert background
        assert background._thread
        assert not background._thread.is_alive()
        assert watched.closings == 1


STRATEGY = load_pruner("ttl")
CALLS: dict[str, Callable[[Sessions], object]] = {
    "load": lambda s: s.load("s"),
    "save": lambda s: s.save(Session.new("ada", "t")),
    "append": lambda s: s.append(Session.new("ada", "t")),
    "add_turn": lambda s: s.add_turn("s", user=["x"]),
    "tail": lambda s: s.tail("s"),
    "rewind": lambda s: s.rewind("s", messages=0),
    "convert": lambda s: s.convert("s", "journal"),
    "update": lambda s: s.update("s", lambda same: same.add_user_message("x")),
    "get_or_create": lambda s: s.get_or_create("ada", "t"),
    "delete": lambda s: s.delete("s"),
    "restore": lambda s: s.restore("s"),
    "list_trash": lambda s: s.list_trash(),
    "empty_trash": lambda s: s.empty_trash(),
    "list": lambda s: s.list(),
    "count": lambda s: s.count(),
    "pin": lambda s: s.pin("s"),
    "unpin": lambda s: s.unpin("s"),
    "expire": lambda s: s.expire("s", None),
    "plan_prune": lambda s: s.plan_prune(STRATEGY),
    "prune": lambda s: s.prune(STRATEGY),
}
READING = {"load", "tail", "list", "count", "list_trash", "plan_prune"}


class TestAfterClosing:
    def test_is_about_every_method(self) -> None:
        methods = {name for name, _ in inspect.getmembers(Sessions, inspect.isfunction)}
        assert {each for each in methods if not each.startswith("_")} - {"close"} == CALLS.keys()

    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("retention", [None, Retention(STRATEGY)])
    def test_nothing_is_read_or_written(self, name: str, retention: Retention | None) -> None:
        store = MemoryStore()
        Sessions(store).save(Session.new("ada", "s"))
        before = {entry.key: entry.fingerprint for entry in store.scan()}
        sessions = Sessions(store, retention=retention)
        sessions.close()
        with pytest.raises(ClosedError, match="open it again") as caught:
            CALLS[name](sessions)
        assert caught.value.store == str(store)
        assert caught.value.landed == (None if name in READING else "no")
        assert isinstance(caught.value, ValueError)
        assert {entry.key: entry.fingerprint for entry in store.scan()} == before

    def test_the_callers_store_stays_open(self) -> None:
        store = Watched()
        with Sessions(store) as sessions:
            sessions.get_or_create("ada", "s")
        assert store.closings == 0
        assert Sessions(store).load("s")

    def test_closing_again_is_fine(self) -> None:
        sessions = open_sessions("memory:")
        sessions.close()
        sessions.close(timeout=timedelta(0))

    def test_it_cannot_be_entered(self) -> None:
        for sessions in (open_sessions("memory:"), Sessions(MemoryStore())):
            sessions.close()
            with pytest.raises(ClosedError, match="open it again") as caught, sessions:
                pass
            assert caught.value.landed is None


class TestWhatIsShown:
    @pytest.mark.parametrize("kind", [Sessions, Documents, AsyncSessions])
    def test_is_the_class_and_the_store(self, kind: Callable[[StateStore], object]) -> None:
        assert repr(kind(MemoryStore())) == f"{getattr(kind, '__name__', '')}(memory:)"

    def test_is_no_secret(self) -> None:
        shown = repr(Sessions.open("s3://bucket/prefix?sse=aws:kms&sse_kms_key_id=hunter2"))
        assert shown == "Sessions(s3://bucket/prefix)"


@pytest.mark.parametrize("wrong", [5, b"./state", ["memory:"], MemoryStore()])
def test_what_is_no_configuration_is_refused_by_name(wrong: Any) -> None:
    came = type(wrong).__name__
    said = f"a folder, a URL or Settings, not {came}"
    with pytest.raises(TypeError, match=f"url_or_config: {said}"):
        open_store(wrong)
    for opened in (open_sessions, Sessions.open, AsyncSessions.open):
        with pytest.raises(TypeError, match=f"config: {said}"):
            opened(wrong)
    with pytest.raises(TypeError, match=f"name: the name of a strategy, not {came}"):
        load_pruner(wrong)
