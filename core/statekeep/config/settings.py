"""The settings of a deployment, from the environment and from files.

In a separate module because pydantic-settings costs more to import than all of statekeep.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from statekeep.config.times import parse_duration
from statekeep.errors import ConfigError
from statekeep.store.keys import journal_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from statekeep.config.complaints import Place

__all__ = ["RetentionSettings", "Settings", "find_origin"]

_PREFIX = "STATEKEEP_"

_logger = logging.getLogger(__name__)


def _with_a_unit(value: object) -> object:
    # A bare number may mean days or seconds to a reader, and what is deleted is gone.
    return value if isinstance(value, timedelta) else parse_duration(str(value))


Duration = Annotated[timedelta, Field(ge=timedelta(0)), BeforeValidator(_with_a_unit)]


class RetentionSettings(BaseModel):
    """How a deployment prunes, if pruning is configured.

    Durations have a unit (``5m``, ``7d``, ``PT5M``), or are 0.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    strategy: str
    """The strategy's name, or ``dist:name``."""

    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Options of the strategy's config model. Those that accompany a strategy of lower precedence
    are ignored."""

    every: Duration | None = None
    """If set, saves prune in the background, at most once per this time across all processes."""

    trash: Duration | None = None
    """How long pruned data stays in the trash; by default it is deleted at once."""

    min_idle: Duration | None = None
    """Nothing that changed less than this long ago is pruned. By default this is an hour in the
    background, a minute for ``statekeep prune`` and ``statekeep sessions prune``, and zero in a
    program."""


class Settings(BaseSettings):
    """The configuration; each value comes from the first of these sources that has it.

    1. Arguments.
    2. The environment: ``STATEKEEP_URL``, ``STATEKEEP_RETENTION__STRATEGY``, …
    3. ``statekeep.toml`` in the current folder.
    4. ``[tool.statekeep]`` in ``pyproject.toml`` in the current folder.
    5. The defaults.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        hide_input_in_errors=True,
        pyproject_toml_table_header=("tool", "statekeep"),
        toml_file="statekeep.toml",
    )

    url: str = Field(default="./statekeep-data", repr=False)
    """A folder, or the URL of a store."""

    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Options of the backend's config model, in addition to the URL's query. Those that accompany a
    URL of lower precedence are ignored."""

    form: Literal["document", "journal"] = "document"
    """How `Sessions` stores new sessions: whole, or as journals."""

    conflicts: Literal["detect", "last-writer-wins"] = "detect"
    """What `Sessions` does about concurrent saves."""

    retention: RetentionSettings | None = None
    """How sessions are pruned: in the background if ``every`` is set, otherwise when a program or
    ``statekeep sessions prune`` asks for it."""

    journal_retention: dict[str, RetentionSettings] = Field(default_factory=dict)
    """How the journals of each collection are pruned, by the collection's name. Nothing is
    inherited from ``retention``."""

    observers: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Names of observers that receive events; in the environment, separated by commas."""

    async_workers: PositiveInt = 16
    """How many operations of `AsyncSessions` run at once."""

    @field_validator("journal_retention")
    @classmethod
    def _check_collections(
        cls, value: dict[str, RetentionSettings]
    ) -> dict[str, RetentionSettings]:
        for name in value:
            journal_prefix(name)
        return value

    @field_validator("observers", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part for part in map(str.strip, value.split(",")) if part]
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the class documents."""
        _warn_of_unknown(cls)
        return (
            init_settings,
            _Environment(settings_cls),
            _Toml(settings_cls),
            _Pyproject(settings_cls),
        )


class _Environment(EnvSettingsSource):
    def prepare_field_value(
        self,
        field_name: str,
        field: FieldInfo,
        value: Any,  # noqa: ANN401
        value_is_complex: bool,
    ) -> Any:  # noqa: ANN401
        try:
            return super().prepare_field_value(field_name, field, value, value_is_complex)
        except ValueError:
            variable = f"{_PREFIX}{field_name.upper()}"
            raise ConfigError(
                f"environment variable {variable}: {field_name}: it takes a table as JSON, or one "
                f"variable for each key: {variable}__KEY"
            ) from None

    def __call__(self) -> dict[str, Any]:
        return _without_foreign_options(super().__call__(), self.current_state)


class _Toml(TomlConfigSettingsSource):
    def __call__(self) -> dict[str, Any]:
        return _without_foreign_options(super().__call__(), self.current_state)

    def _read_files(self, files: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        path = Path(files).absolute()
        if path.is_dir():
            raise ValueError(f"{path}: it is a folder, not a file")
        return super()._read_files(path, *args, **kwargs)

    def _read_file(self, file_path: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            return super()._read_file(file_path)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file_path}: {error}") from None


class _Pyproject(PyprojectTomlConfigSettingsSource, _Toml):
    def _read_file(self, file_path: Any) -> dict[str, Any]:  # noqa: ANN401
        values = super()._read_file(file_path)
        tools = values.get("tool", {})
        if not isinstance(tools, dict) or not isinstance(tools.get("statekeep", {}), dict):
            raise ValueError(f"{file_path}: [tool.statekeep] is not a table")  # noqa: TRY004
        return values


def _without_foreign_options(values: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Drop options that belong to something a source of higher precedence has replaced."""
    if "url" in chosen:
        values.pop("options", None)
    _drop_options(values.get("retention"), chosen.get("retention"))
    of_journals = values.get("journal_retention")
    if isinstance(of_journals, dict):
        for name, retention in of_journals.items():
            _drop_options(retention, (chosen.get("journal_retention") or {}).get(name))
    return values


def _drop_options(retention: object, chosen: object) -> None:
    if isinstance(retention, dict) and isinstance(chosen, dict) and "strategy" in chosen:
        retention.pop("options", None)


_NOTHING = object()


def find_origin(
    place: Place, value: object = _NOTHING, *, given: Mapping[str, Any] | None = None
) -> str | None:
    """Return where a setting comes from: an argument, an environment variable or a file.

    Args:
        place: The setting's place; it may be missing from its table.
        value: Its value; a source with another value there is not its origin.
        given: The arguments.

    Returns:
        A name for the source, or None if no source has it.
    """

    def has(values: object) -> bool:
        for depth, step in enumerate(place):
            if not isinstance(values, dict) or step not in values:
                return value is _NOTHING and depth == len(place) - 1 and depth > 0
            values = values[step]
        return value is _NOTHING or values == value

    if given and has(given):
        return "argument"
    if has(_Environment(Settings)()):
        return f"environment variable {_variable(place)}"
    files = {"statekeep.toml": _Toml, "pyproject.toml": _Pyproject}
    for name, source in files.items():
        if has(source(Settings)()):
            return str(Path(name).absolute())
    return None


def _variable(place: Place) -> str:
    """Return the variable that holds a setting, by itself or in its table."""
    there = {name.upper(): name for name in os.environ}
    names = [_PREFIX + "__".join(map(str, place[:n])).upper() for n in range(len(place), 0, -1)]
    return next((there[name] for name in names if name in there), f"{names[-1]}__…")


def _warn_of_unknown(settings: type[Settings]) -> None:
    known = ["PLUGINS", *map(str.upper, settings.model_fields)]
    for variable in os.environ:
        name = variable.upper()
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX).split("__")[0] not in known:
            near = get_close_matches(name.removeprefix(_PREFIX), known, 1)
            _logger.warning(
                "the environment variable %s is not a setting of statekeep and has no effect%s",
                variable,
                f"; did you mean {_PREFIX}{near[0]}?" if near else "",
            )
