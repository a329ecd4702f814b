"""Opening what a deployment chose: stores by URL, sessions and strategies by configuration."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from statekeep.errors import ConfigError, PluginNotFoundError
from statekeep.format.json import explain
from statekeep.retention.types import Retention
from statekeep.sessions.sessions import Sessions
from statekeep.store.urls import StoreURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from statekeep.config.settings import RetentionSettings, Settings
    from statekeep.plugins.hooks import BackendSpec
    from statekeep.plugins.loader import Plugins
    from statekeep.retention.types import PruningStrategy
    from statekeep.store.protocol import StateStore

_USER_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)
_FALLBACK = "fsspec"  # opens the schemes that no backend is named after

__all__ = [
    "find_backend",
    "installed_plugins",
    "load_pruner",
    "load_settings",
    "open_sessions",
    "open_store",
    "settings_for",
]


def load_settings(**values: Any) -> Settings:  # noqa: ANN401 - any field of Settings
    """Read the configuration; see `statekeep.config.Settings` for where it comes from.

    Args:
        values: Settings that override those found.

    Raises:
        ConfigError: A setting is wrong or unknown, or a file is not TOML. No value is shown.
    """
    from pydantic_settings import SettingsError  # noqa: PLC0415 - costly, and not always needed

    from statekeep.config.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(f"wrong configuration: {explain(error)}") from None
    except (SettingsError, ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"the configuration cannot be read: {error}") from None


def open_store(
    url_or_config: str | os.PathLike[str] | Settings | None = None,
    **options: Any,  # noqa: ANN401 - the backend's config model says which
) -> StateStore:
    """Open a store; use it as a context manager, or close it.

    Nothing is created, and no connection is made, before the first use.

    Args:
        url_or_config: A folder, a URL (``memory:``, ``file:…``, ``s3://…``, ``scheme://…`` of any
            installed backend, ``dist+scheme://…`` of one distribution's, and what fsspec reaches:
            ``fsspec+scheme://…`` forces it), or settings. Without it: what the environment and
            the files configure, else ``./statekeep-data``.
        options: Options of the backend, besides those in the URL's query.

    Raises:
        ConfigError: The URL or an option is wrong, or the URL holds a secret.
        PluginNotFoundError: No such backend is installed.
        PluginConflictError: Several distributions offer it.
        PluginLoadError: It is broken.

    Example:
        >>> with open_store("memory:") as store:
        ...     version = store.put("notes/hello.md", b"Hello")
        ...     store.get("notes/hello.md").data
        b'Hello'
    """
    if isinstance(url_or_config, os.PathLike):
        # Absolute, so that a leading ~ is a folder of that name.
        url = StoreURL.of_path(str(Path(url_or_config).absolute()))
    elif isinstance(url_or_config, str):
        url = StoreURL.parse(url_or_config)
    else:
        settings = load_settings() if url_or_config is None else url_or_config
        url = StoreURL.parse(settings.url)
        options = {**settings.options, **options}
    if both := sorted(url.options.keys() & options.keys()):
        raise ConfigError(f"given twice, in the URL and as an option: {', '.join(both)}")
    options = {**url.options, **options}
    spec, missing = _find_backend(url)
    if missing is None:
        return _make_store(spec, url, options)
    try:
        return _make_store(spec, url, options)
    except PluginNotFoundError:
        raise missing from None
    except ConfigError:
        _refuse_unknown_scheme(spec, url, missing)
        raise


def _refuse_unknown_scheme(spec: BackendSpec, url: StoreURL, missing: PluginNotFoundError) -> None:
    # That nothing opens such a URL matters more than what is wrong with its options.
    with suppress(ConfigError):
        try:
            _make_store(spec, url, {}).close()
        except PluginNotFoundError:
            raise missing from None


def find_backend(url: StoreURL) -> BackendSpec:
    """The backend that opens a URL.

    Raises:
        PluginNotFoundError, PluginConflictError, PluginLoadError: As `open_store`.
    """
    return _find_backend(url)[0]


def _find_backend(url: StoreURL) -> tuple[BackendSpec, PluginNotFoundError | None]:
    """The backend of a scheme; else the one that may know it, and what to say if it does not."""
    plugins = installed_plugins()
    if url.distribution == _FALLBACK:
        return plugins.backend(_FALLBACK), None
    try:
        return plugins.backend(url.scheme, url.distribution), None
    except PluginNotFoundError as missing:
        if url.distribution is not None:
            raise
        return plugins.backend(_FALLBACK), missing


def load_pruner(name: str, **options: Any) -> PruningStrategy:  # noqa: ANN401
    """Make a pruning strategy by name.

    Args:
        name: ``ttl``, ``max-sessions``, ``max-per-user``, ``keep-last-per-phase``,
            ``total-bytes``, ``ttl+count``, ``any-of``, or that of any installed plugin;
            ``dist:name`` chooses between distributions.
        options: Its options; see ``statekeep plugins``.

    Raises:
        ConfigError: An option is wrong or unknown.
        PluginNotFoundError: No such strategy is installed.
        PluginConflictError: Several distributions offer it.
        PluginLoadError: It is broken.

    Example:
        >>> strategy = load_pruner("ttl+count", max_sessions=100, ttl_hours=168)
    """
    spec = installed_plugins().pruner(name)
    config = _configure(spec.config, options, f"the pruning strategy {name!r}")
    return spec.factory(config)


@contextmanager
def open_sessions(url_or_config: str | Settings | None = None) -> Iterator[Sessions]:
    """Open the sessions that a deployment configured; at the end close them and the store.

    Args:
        url_or_config: Settings, or another store than the configured one. Without it: what the
            environment and the files configure.

    Raises:
        ConfigError, PluginError: As `open_store`.
        UnsupportedError: The store cannot detect conflicts, and nothing else was configured.
    """
    settings = settings_for(url_or_config)
    observers = [installed_plugins().observer(name) for name in settings.observers]
    retention = _background_retention(settings.retention)
    with (
        open_store(settings) as store,
        Sessions(
            store, conflicts=settings.conflicts, observers=observers, retention=retention
        ) as sessions,
    ):
        yield sessions


def _background_retention(settings: RetentionSettings | None) -> Retention | None:
    if settings is None or settings.every is None:
        return None
    strategy = load_pruner(settings.strategy, **settings.options)
    retention = Retention(strategy, every=settings.every, trash=settings.trash)
    if settings.min_idle is None:
        return retention
    return replace(retention, min_idle=settings.min_idle)


def settings_for(url_or_config: str | Settings | None) -> Settings:
    """The settings given, or the configured ones, perhaps with another store."""
    if url_or_config is None:
        return load_settings()
    if isinstance(url_or_config, str):
        return load_settings(url=url_or_config)
    return url_or_config


def _make_store(spec: BackendSpec, url: StoreURL, options: Mapping[str, Any]) -> StateStore:
    whose = f"the backend {spec.name!r}"
    _refuse_secrets(options, whose)
    return spec.factory(url, _configure(spec.config, options, whose))


def _refuse_secrets(options: Mapping[str, Any], whose: str) -> None:
    # A store names itself by its options in errors and logs.
    for name, value in options.items():
        if isinstance(value, str) and _USER_IN_URL.match(value):
            raise ConfigError(
                f"wrong options for {whose}: {name} holds a user or a password; give credentials "
                "by the environment, never in a URL"
            )


def _configure(model: type[BaseModel], options: Mapping[str, Any], whose: str) -> BaseModel:
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        fields = model.model_fields.items()
        known = ", ".join(details.alias or name for name, details in fields) or "none"
        # Not chained: the original error would show values, and one may be a secret.
        raise ConfigError(f"wrong options for {whose}: {explain(error)} (known: {known})") from None


def installed_plugins() -> Plugins:
    """The plugins of this environment, as far as the allow-list ``STATEKEEP_PLUGINS`` goes."""
    from statekeep.plugins.allow_list import allowed_distributions  # noqa: PLC0415 - with pluggy

    return _plugins(allowed_distributions())


@lru_cache(maxsize=8)
def _plugins(allowed: frozenset[str] | None) -> Plugins:
    from statekeep.plugins.loader import Plugins  # noqa: PLC0415 - reads the installed distributions

    return Plugins(allowed)
