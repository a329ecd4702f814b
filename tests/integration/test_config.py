"""Opening what a deployment configured."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from statekeep import (
    ConfigError,
    Session,
    Sessions,
    StateStoreError,
    load_pruner,
    open_sessions,
    open_store,
)
from statekeep.config import Settings, load_settings, prune_configured
from statekeep.errors import PluginNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable


class TestOpeningAStore:
    def test_without_arguments_means_a_folder_here(self, empty_folder: Path) -> None:
        with open_store() as store:
            store.put("a.md", b"x")
        assert (empty_folder / "statekeep-data" / "a.md").exists()

    def test_a_path_is_taken_to_the_letter(self, empty_folder: Path) -> None:
        with open_store(empty_folder / "a?b=c") as store:
            store.put("x.md", b"")
        with open_store("d?e#f") as store:
            store.put("x.md", b"")
        with open_store(Path("~")) as store:
            store.put("x.md", b"")
        assert sorted(path.name for path in empty_folder.iterdir()) == ["a?b=c", "d?e#f", "~"]

    def test_a_bare_path_with_options_is_a_mistake(self) -> None:
        with pytest.raises(ConfigError, match="file:"):
            open_store("./state?durability=rename")

    def test_memory_is_fresh_each_time_unless_it_has_a_name(self) -> None:
        with open_store("memory:") as one, open_store("memory:") as two:
            one.put("a.md", b"")
            assert two.get("a.md") is None
        with open_store("memory:shared-by-test") as one:
            one.put("a.md", b"")
        with open_store("memory:shared-by-test") as two:
            assert two.get("a.md")

    @pytest.mark.usefixtures("empty_folder")
    def test_options_come_from_the_query_or_as_arguments(self) -> None:
        with pytest.raises(ConfigError, match="durability"):
            open_store("file:x?durability=maybe")
        with pytest.raises(ConfigError, match=r"unknown_one.*known: durability, lock_timeout"):
            open_store("file:x?unknown_one=1")
        with pytest.raises(ConfigError, match="lock_timeout"):
            open_store("x", lock_timeout=-1)
        with pytest.raises(ConfigError, match=r"twice.*durability"):
            open_store("file:x?durability=fsync", durability="rename")
        with open_store("file:x?lock_timeout=2.5", durability="rename"):
            pass

    def test_a_wrong_option_is_named_without_its_value(self) -> None:
        with pytest.raises(ConfigError) as caught:
            open_store("memory:", hidden="hunter2")
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_an_unknown_scheme_says_what_there_is(self) -> None:
        with pytest.raises(PluginNotFoundError, match=r"'memroy'.*did you mean 'memory'"):
            open_store("memroy:")
        with pytest.raises(PluginNotFoundError, match=r"\./notes:"):
            open_store("notes:2024")

    @pytest.mark.parametrize("url", ["", "memory://x", "file://host/x"])
    def test_a_wrong_url_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigError):
            open_store(url)


class TestSettings:
    def test_the_environment_goes_before_the_files(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (empty_folder / "pyproject.toml").write_text('[tool.statekeep]\nurl = "./from-pyproject"\n')
        assert load_settings().url == "./from-pyproject"
        (empty_folder / "statekeep.toml").write_text('url = "./from-toml"\n')
        assert load_settings().url == "./from-toml"
        monkeypatch.setenv("STATEKEEP_URL", "./from-environment")
        assert load_settings().url == "./from-environment"
        assert load_settings(url="./given").url == "./given"

    def test_open_what_they_say(self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (empty_folder / "statekeep.toml").write_text(
            'url = "file:./state"\n[options]\ndurability = "rename"\n'
        )
        with open_sessions() as sessions:
            sessions.save(Session.new("ada", "s"))
        with open_store() as store:
            assert Sessions(store).load("s")
        assert (empty_folder / "state" / "sessions" / "s.json").exists()
        monkeypatch.setenv("STATEKEEP_OPTIONS__DURABILITY", "maybe")
        with pytest.raises(ConfigError, match="durability"):
            open_store()

    def test_say_how_new_sessions_are_stored(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_FORM", "journal")
        with open_sessions(empty_folder) as sessions:
            sessions.get_or_create("ada", "s")
        stored = empty_folder / "sessions" / "s.json"
        assert stored.read_bytes().startswith(b'{"statekeep":2,')
        monkeypatch.setenv("STATEKEEP_FORM", "whole")
        with pytest.raises(
            ConfigError, match="STATEKEEP_FORM: form: it takes 'document' or 'journal'"
        ):
            open_sessions()

    def test_name_a_strategy(self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert load_settings().retention is None
        (empty_folder / "statekeep.toml").write_text('[retention]\nstrategy = "ttl"\n')
        monkeypatch.setenv("STATEKEEP_RETENTION__OPTIONS__TTL_HOURS", "24")
        retention = load_settings().retention
        assert retention
        assert (retention.strategy, retention.options) == ("ttl", {"ttl_hours": "24"})

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('ulr = "x"', "ulr"),
            ("url = 5", "url"),
            ("url = ", "cannot be read"),
            ('conflicts = "ignore"', "conflicts"),
            ('[retention]\nstrategy = "ttl"\nevery = "5"', "retention.every"),
            ("[retention]\noptions = {}", "strategy"),
        ],
    )
    def test_a_mistake_is_an_error_that_names_it(
        self, empty_folder: Path, text: str, why: str
    ) -> None:
        (empty_folder / "statekeep.toml").write_text(text)
        with pytest.raises(ConfigError, match=why):
            load_settings()

    @pytest.mark.usefixtures("empty_folder")
    def test_a_misspelt_variable_is_warned_of(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("STATEKEEP_PLUGINS", "")
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        load_settings()
        assert caplog.text == ""
        monkeypatch.setenv("STATEKEEP_ULR", "hunter2")
        load_settings()
        assert "STATEKEEP_ULR" in caplog.text
        assert "did you mean STATEKEEP_URL?" in caplog.text
        assert "hunter2" not in caplog.text

    @pytest.mark.usefixtures("empty_folder")
    def test_a_secret_in_the_environments_url_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_URL", "s3://key:hunter2@bucket")
        with pytest.raises(ConfigError) as caught:
            open_store()
        assert "hunter2" not in str(caught.value)


TOML = r"/\S+/statekeep\.toml"
PYPROJECT = r"/\S+/pyproject\.toml"
VARIABLE = "environment variable STATEKEEP"
ALL = "url, options, form, conflicts, retention, journal_retention, observers, async_workers"


class TestAMistake:
    """It is answered by where it stands, which key, what that takes, and what was meant."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                'urll = "x"',
                rf"{TOML}: urll: there is no such setting; did you mean url\?",
            ),
            ("url = 5", rf"{TOML}: url: it takes text, not a number"),
            ("url = [5]", rf"{TOML}: url: it takes text, not a list"),
            (
                'conflicts = "detct"',
                (
                    rf"{TOML}: conflicts: it takes 'detect' or 'last-writer-wins', not this text; "
                    r"did you mean 'detect'\?"
                ),
            ),
            ("async_workers = 0", rf"{TOML}: async_workers: it takes more than 0, not 0"),
            (
                'async_workers = "x"',
                rf"{TOML}: async_workers: it takes a whole number, not this text",
            ),
            ("options = 5", rf"{TOML}: options: it takes a table, not a number"),
            ("retention = 5", rf"{TOML}: retention: it takes a table, not a number"),
            ("observers = 5", rf"{TOML}: observers: it takes a list, not a number"),
            ("observers = [5]", rf"{TOML}: observers\.0: it takes text, not a number"),
            ("[retention]", rf"{TOML}: retention\.strategy: it is missing"),
            (
                '[retention]\nstratgy = "ttl"',
                (
                    rf"{TOML}: retention\.stratgy: there is no such setting; "
                    r"did you mean strategy\?"
                ),
            ),
            (
                '[retention]\nstrategy = "ttl"\ntrash = 7',
                rf"{TOML}: retention\.trash: a time with its unit is needed, such as .* 7d, .*",
            ),
        ],
    )
    def test_in_a_file(self, empty_folder: Path, text: str, said: str) -> None:
        (empty_folder / "statekeep.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_settings()
        known = "strategy, options, every, trash, min_idle" if r"retention\." in said else ALL
        assert re.fullmatch(
            rf"wrong configuration: {said} \(known: {known}\)",
            str(caught.value),
        ), caught.value

    def test_in_the_other_file(self, empty_folder: Path) -> None:
        (empty_folder / "pyproject.toml").write_text('[tool.statekeep]\nurll = "x"\n')
        with pytest.raises(ConfigError, match=f"configuration: {PYPROJECT}: urll: .* mean url"):
            load_settings()

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("_ASYNC_WORKERS", "many", "_ASYNC_WORKERS: async_workers: it takes a whole number"),
            ("_ASYNC_WORKERS", "0", "_ASYNC_WORKERS: async_workers: it takes more than 0, not 0 "),
            ("_RETENTION__EVRY", "5m", "_RETENTION__EVRY: retention.evry: .* did you mean every"),
            ("_RETENTION__EVERY", "5", "_RETENTION__EVERY: retention.every: a time with its unit"),
            ("_RETENTION", '{"evry": 5}', "_RETENTION: retention.evry: .* did you mean every"),
            ("_OPTIONS", "fast", "_OPTIONS: options: it takes a table as JSON, or .*_OPTIONS__KEY"),
            ("_URL", "memroy:", "_URL: url: no backend 'memroy' .* did you mean 'memory'"),
            ("_URL", "s3://k:hunter2@b", "_URL: url: the URL holds a password"),
            ("_URL", "file:x?durabilty=x", "_URL: url: durabilty: .* did you mean durability"),
            ("_OPTIONS__DURABILTY", "x", "_OPTIONS__DURABILTY: durabilty: .* mean durability"),
            (
                "_OBSERVERS",
                "otl",
                "_OBSERVERS: observers: no observer 'otl' .* did you mean 'otel'",
            ),
            ("_RETENTION__STRATEGY", "tll", "_RETENTION__STRATEGY: retention.strategy: .* 'ttl'"),
            (
                "_RETENTION__OPTIONS__TTL_HOUR",
                "5",
                "_RETENTION__OPTIONS__TTL_HOUR: ttl_hour: .* mean",
            ),
        ],
    )
    @pytest.mark.usefixtures("empty_folder")
    def test_in_the_environment(
        self, name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__EVERY", "5m")
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        if name == "_RETENTION":
            monkeypatch.delenv("STATEKEEP_RETENTION__EVERY")
        monkeypatch.setenv(f"STATEKEEP{name}", value)
        with pytest.raises(StateStoreError, match=VARIABLE + said) as caught:
            open_sessions()
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                'strategy = "ttl"\nevry = "5m"',
                rf"{TOML}: journal_retention.support.evry: .* every\? \(known: strategy, options,",
            ),
            ('every = "5m"', rf"{TOML}: journal_retention.support.strategy: it is missing"),
            ('strategy = "ttl"\nevery = 5', rf"{TOML}: journal_retention.support.every: a time"),
            ('strategy = "tll"', rf"{TOML}: journal_retention.support.strategy: .* mean 'ttl'"),
            (
                'strategy = "ttl"\noptions = {ttl_hour = 5}',
                rf"{TOML}: ttl_hour: .* did you mean ttl_hours",
            ),
        ],
    )
    def test_in_the_retention_of_a_collection(
        self, empty_folder: Path, text: str, said: str
    ) -> None:
        (empty_folder / "statekeep.toml").write_text(f"[journal_retention.support]\n{text}\n")
        with pytest.raises(StateStoreError, match=said):
            prune_configured()

    def test_in_the_name_of_a_collection(self, empty_folder: Path) -> None:
        (empty_folder / "statekeep.toml").write_text(
            '[journal_retention."No Such"]\nstrategy = "ttl"\n'
        )
        with pytest.raises(ConfigError, match=rf"{TOML}: journal_retention: .*'No Such'"):
            load_settings()

    def test_in_the_environment_of_a_collection(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        variable = "STATEKEEP_JOURNAL_RETENTION__SUPPORT__STRATEGY"
        monkeypatch.setenv(variable, "tll")
        with pytest.raises(PluginNotFoundError, match=f"{variable}: journal_retention.support"):
            open_sessions(load_settings(journal_retention={"support": {"every": "1h"}}))
        with pytest.raises(PluginNotFoundError, match=f"{variable}: .* did you mean 'ttl'"):
            prune_configured()
        assert list(empty_folder.iterdir()) == []

    @pytest.mark.usefixtures("empty_folder")
    def test_in_an_argument(self) -> None:
        with pytest.raises(ConfigError, match=r"argument: urll: .* did you mean url"):
            load_settings(urll="x")
        with pytest.raises(ConfigError, match=r"argument: url: it takes text, not a number"):
            load_settings(url=5)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                'url = "file:x?durability=fsync"\noptions = {durability = "fsync"}',
                rf"{TOML}: url: given twice, in the URL and as an option: durability",
            ),
            (
                'url = "s3://b"\noptions = {endpoint_url = "http://k:hunter2@h"}',
                rf"'s3': {TOML}: endpoint_url holds a user or a password",
            ),
            ('url = "s3://b"\noptions = {regoin = "x"}', rf"{TOML}: regoin: .* mean region"),
            ('url = "file://host/x"', rf"{TOML}: url: a folder is on this machine"),
        ],
    )
    def test_in_a_file_that_shows_when_the_store_is_opened(
        self, empty_folder: Path, text: str, said: str
    ) -> None:
        (empty_folder / "statekeep.toml").write_text(text)
        for opening in (open_store, open_sessions):
            with pytest.raises(ConfigError, match=said) as caught:
                opening()
            assert "hunter2" not in str(caught.value)

    def test_in_an_argument_is_not_put_down_to_a_file(self, empty_folder: Path) -> None:
        (empty_folder / "statekeep.toml").write_text(
            'url = "memory:"\noptions = {}\nobservers = ["otel"]\n'
        )
        with pytest.raises(PluginNotFoundError, match=r"^no observer 'otl'"):
            open_sessions(load_settings(observers=["otl"]))
        with pytest.raises(PluginNotFoundError) as caught:
            open_sessions("memroy:")
        assert "statekeep.toml" not in str(caught.value)
        with pytest.raises(ConfigError, match="backend 'memory': durability: there is no") as met:
            open_store(durability="fsync")
        assert "statekeep.toml" not in str(met.value)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                {"ttl_hour": 5},
                r"ttl_hour: .*; did you mean ttl_hours\?",
            ),
            ({"ttl_hours": "long"}, "ttl_hours: it takes a number, not this text"),
            ({"ttl_hours": -1}, "ttl_hours: it takes at least 0.0, not -1"),
            ({"users": 5}, "users: it takes a table, not a number"),
            ({"users": {"ada": "x"}}, r"users\.ada: it takes a number, not this text"),
        ],
    )
    def test_in_the_options_of_a_strategy(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_pruner("ttl", **options)
        whose = "wrong options for the pruning strategy 'ttl'"
        known = r"\(known: ttl_hours, users\)"
        assert re.fullmatch(f"{whose}: {said} {known}", str(caught.value)), caught.value

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (
                {"strategies": [{"stratgy": "ttl"}]},
                r"strategies\.0\.stratgy: .* mean strategy\? .*",
            ),
            ({"strategies": []}, "strategies: it takes at least 1 of them, not a list .*"),
            ({"strateges": []}, r"strateges: .*; did you mean strategies\? \(known: strategies\)"),
        ],
    )
    def test_is_one_complaint_however_deep(self, wrong: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_pruner("any-of", **wrong)
        assert re.fullmatch(f".*'any-of': {said}", str(caught.value)), caught.value
        assert ";" not in str(caught.value).replace("; did you mean", "")

    def test_of_many_the_first_are_told(self) -> None:
        with pytest.raises(ConfigError, match=r"; and 2 more \(known: url, "):
            load_settings(a=1, b=1, c=1, d=1, e=1)

    def test_cannot_steer_a_terminal(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load_pruner("ttl", **{"\x1b[2J": 1})
        assert "\x1b" not in str(caught.value)

    @pytest.mark.usefixtures("empty_folder")
    def test_is_never_told_in_the_words_of_pydantic_or_with_its_value(self) -> None:
        wrong = [5, 5.5, "hunter2", ["hunter2"], {"hunter2": "hunter2"}, None, True, object()]
        for name in Settings.model_fields:
            for value in wrong:
                try:
                    load_settings(**{name: value})
                except ConfigError as error:
                    said = str(error)
                    assert name in said
                    assert not re.search("Input|valid|extra|pydantic", said), said
                    if not isinstance(value, dict):  # whose keys are names
                        assert "hunter2" not in said


class TestOptions:
    """They belong to what they stand beside."""

    @pytest.fixture(autouse=True)
    def _file(self, empty_folder: Path) -> None:
        (empty_folder / "statekeep.toml").write_text(
            'url = "./state"\noptions = {durability = "rename"}\n'
            '[retention]\nstrategy = "ttl+count"\noptions = {max_sessions = 5}\n'
        )

    def test_go_with_their_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert load_settings().options == {"durability": "rename"}
        assert load_settings(url="memory:").options == {}
        with open_sessions("memory:") as sessions:
            assert str(sessions.store) == "memory:"
        monkeypatch.setenv("STATEKEEP_URL", "memory:")
        with open_store() as store:
            assert str(store) == "memory:"

    def test_go_with_their_strategy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_RETENTION__STRATEGY", "ttl")
        retention = load_settings().retention
        assert retention
        assert (retention.strategy, retention.options) == ("ttl", {})

    def test_can_be_overridden_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATEKEEP_OPTIONS__LOCK_TIMEOUT", "3")
        assert load_settings().options == {"durability": "rename", "lock_timeout": "3"}
        with open_store(durability="fsync"):
            pass


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", b"tool = 5"),
        ("pyproject.toml", b"[tool]\nstatekeep = [1]"),
        ("pyproject.toml", b"\xff"),
        ("statekeep.toml", b"a = " + b"[" * 5000),
        ("statekeep.toml", b"\xff"),
        ("statekeep.toml", b"url = "),
        ("pyproject.toml", b"url = "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(empty_folder: Path, file: str, text: bytes) -> None:
    path = empty_folder / file
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=f"cannot be read: {path}: "):
        load_settings()


@pytest.mark.parametrize("file", ["statekeep.toml", "pyproject.toml"])
def test_a_folder_where_a_file_belongs_is_not_passed_over(empty_folder: Path, file: str) -> None:
    path = empty_folder / file
    path.mkdir()
    with pytest.raises(ConfigError, match=f"cannot be read: {path}: it is a folder, not a file"):
        load_settings()


def test_settings_do_not_show_what_may_be_secret() -> None:
    assert "hunter2" not in repr(load_settings(url="s3://b", options={"x": "hunter2"}))


@pytest.mark.parametrize(
    "value",
    [
        "http://user:hunter2@127.0.0.1:9000",
        "https://hunter2@s3.example.com",
        "HTTPS://:hunter2@s3.example.com/x",
        "postgresql://user:hunter2@db/x",
    ],
)
def test_a_secret_in_an_option_is_refused_and_not_shown(value: str) -> None:
    ways: list[Callable[[], object]] = [
        lambda: open_store("s3://bucket", endpoint_url=value),
        lambda: open_store(load_settings(url="s3://bucket", options={"endpoint_url": value})),
        lambda: open_store(f"s3://bucket?endpoint_url={quote(value, safe='')}"),
    ]
    for way in ways:
        with pytest.raises(ConfigError, match="a password") as caught:
            way()
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


class TestRetentionOfCollections:
    def test_comes_from_all_sources_each_value_from_the_first_that_has_it(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (empty_folder / "statekeep.toml").write_text(
            """
            [journal_retention.support]
            strategy = "ttl"
            options = { ttl_hours = 5 }
            trash = "7d"

            [journal_retention.openai-agents]
            strategy = "max-sessions"
            options = { max_sessions = 5 }
            """
        )
        monkeypatch.setenv("STATEKEEP_JOURNAL_RETENTION__SUPPORT__STRATEGY", "max-sessions")
        monkeypatch.setenv("STATEKEEP_JOURNAL_RETENTION__SUPPORT__OPTIONS__MAX_SESSIONS", "3")
        monkeypatch.setenv("STATEKEEP_JOURNAL_RETENTION__NOTES", '{"strategy": "ttl"}')
        found = load_settings().journal_retention
        assert found.keys() == {"support", "openai-agents", "notes"}
        # Options belong to the strategy that they stand beside.
        assert found["support"].strategy == "max-sessions"
        assert found["support"].options == {"max_sessions": "3"}
        assert found["support"].trash == timedelta(days=7)
        assert found["openai-agents"].options == {"max_sessions": 5}
        assert found["openai-agents"].trash is None
        assert found["notes"].strategy == "ttl"
        assert len(prune_configured("memory:", dry_run=True)) == 3
