"""Opening what a deployment configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from statekeep import ConfigError, Session, Sessions, open_sessions, open_store
from statekeep.config import load_settings
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
        assert "hunter2" not in caplog.text

    @pytest.mark.usefixtures("empty_folder")
    def test_a_secret_in_the_environments_url_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STATEKEEP_URL", "s3://key:hunter2@bucket")
        with pytest.raises(ConfigError) as caught:
            open_store()
        assert "hunter2" not in str(caught.value)


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
    ],
)
def test_a_file_that_cannot_be_read_is_named(empty_folder: Path, file: str, text: bytes) -> None:
    (empty_folder / file).write_bytes(text)
    with pytest.raises(ConfigError, match=file):
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
