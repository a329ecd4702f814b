"""Opens what a deployment chose: stores by URL, sessions and strategies by configuration."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from statekeep._arguments import refuse_type
from statekeep.config.complaints import Place, complain
from statekeep.errors import ConfigError, PluginError, PluginNotFoundError, StateStoreError
from statekeep.retention.types import Retention
from statekeep.sessions.sessions import Sessions
from statekeep.store.urls import StoreURL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from statekeep.config.settings import RetentionSettings, Settings
    from statekeep.plugins.hooks import BackendSpec, ImporterSpec
    from statekeep.plugins.loader import Plugins
    from statekeep.retention.types import PruningStrategy
    from statekeep.store.protocol import StateStore

_logger = logging.getLogger(__name__)

Origin = Callable[[Place], str | None]
"""Says where the value at a place was configured, if it was."""

_USER_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*@", re.IGNORECASE)
_FALLBACK = "fsspec"  # opens the schemes that have no backend of their own

__all__ = [
    "configured_journal_retention",
    "configured_strategy",
    "find_backend",
    "installed_plugins",
    "load_importer",
    "load_pruner",
    "load_settings",
    "open_configured",
    "open_sessions",
    "open_store",
    "settings_for",
]


def load_settings(**values: Any) -> Settings:  # noqa: ANN401 - any field of Settings
    """Load the configuration; see `statekeep.config.Settings` for its sources.

    Args:
        values: Settings that override the configured ones.

    Raises:
        ConfigError: A setting is wrong or unknown, or a file is not TOML. The message names the
            file, variable or argument, and the setting, and shows no value.
    """
    from pydantic_settings import SettingsError  # noqa: PLC0415 - costly, and not always needed

    from statekeep.config.settings import Settings, find_origin  # noqa: PLC0415

    def origin(place: Place) -> str | None:
        return find_origin(place, given=values)

    try:
        return Settings(**values)
    except ValidationError as error:
        said = complain(Settings, error, noun="setting", origin=origin)
        raise ConfigError(f"wrong configuration: {said}") from None
    except (SettingsError, ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"the configuration cannot be read: {error}") from None


def open_store(
    url_or_config: str | os.PathLike[str] | Settings | None = None,
    **options: Any,  # noqa: ANN401 - defined by the backend's config model
) -> StateStore:
    """Open a store; use it as a context manager, or close it.

    It creates nothing, and makes no connection, before the first use.

    Args:
        url_or_config: A folder, a URL (``memory:``, ``file:…``, ``s3://…``, ``scheme://…`` of any
            installed backend, ``dist+scheme://…`` of a specific distribution's, or anything that
            fsspec can reach: ``fsspec+scheme://…`` forces it), or settings. By default, what the
            environment and the configuration files say, or else ``./statekeep-data``.
        options: Options of the backend, in addition to those in the URL's query.

    Raises:
        TypeError: `url_or_config` is none of these.
        ConfigError: The URL or an option is wrong, or the URL holds a secret. If it was configured,
            the message says where.
        PluginNotFoundError: No such backend is installed.
        PluginConflictError: Several distributions provide it.
        PluginLoadError: It is broken.

    Examples:
        >>> with open_store("memory:") as store:
        ...     version = store.put("notes/hello.md", b"Hello")
        ...     store.get("notes/hello.md").data
        b'Hello'
    """
    if isinstance(url_or_config, os.PathLike):
        url = _url_of(url_or_config)
    elif isinstance(url_or_config, str):
        url = StoreURL.parse(url_or_config)
    else:
        return _open_configured_store(settings_for(url_or_config, "url_or_config"), options)
    return _open_store(url, options, _nowhere)


def _open_configured_store(settings: Settings, options: Mapping[str, Any]) -> StateStore:
    in_the_url: Mapping[str, str] = {}

    def origin(place: Place) -> str | None:
        name = place[0] if place else None
        if name is None or name in in_the_url:
            return _origin_of(("url",), settings.url)
        if name in options or name not in settings.options:
            return None
        return _find_origin(("options", name), settings.options[str(name)])

    with _naming(origin, ConfigError):
        url = StoreURL.parse(settings.url)
    in_the_url = url.options
    return _open_store(url, {**settings.options, **options}, origin)


def _open_store(url: StoreURL, options: Mapping[str, Any], origin: Origin) -> StateStore:
    """Open a store.

    Args:
        url: The store's URL.
        options: Options in addition to the URL's query.
        origin: Says where an option, or the URL (at the empty place), was configured.
    """
    with _naming(origin, ConfigError):
        if both := sorted(url.options.keys() & options.keys()):
            raise ConfigError(f"given twice, in the URL and as an option: {', '.join(both)}")
    options = {**url.options, **options}
    with _naming(origin, PluginError):
        spec, missing = _find_backend(url)
        if missing is None:
            return _make_store(spec, url, options, origin)
        try:
            return _make_store(spec, url, options, origin)
        except PluginNotFoundError:
            raise missing from None
        except ConfigError:
            _refuse_unknown_scheme(spec, url, missing)
            raise


def _refuse_unknown_scheme(spec: BackendSpec, url: StoreURL, missing: PluginNotFoundError) -> None:
    # An unknown scheme matters more than mistakes in its options.
    with suppress(ConfigError):
        try:
            _make_store(spec, url, {}, _nowhere).close()
        except PluginNotFoundError:
            raise missing from None


def find_backend(url: StoreURL) -> BackendSpec:
    """Return the backend that opens a URL.

    Raises:
        PluginNotFoundError, PluginConflictError, PluginLoadError: As in `open_store`.
    """
    return _find_backend(url)[0]


def _find_backend(url: StoreURL) -> tuple[BackendSpec, PluginNotFoundError | None]:
    """Return a scheme's backend, or the fallback with the error to raise if it cannot help."""
    plugins = installed_plugins()
    if url.distribution == _FALLBACK:
        return plugins.backend(_FALLBACK), None
    try:
        return plugins.backend(url.scheme, url.distribution), None
    except PluginNotFoundError as missing:
        if url.distribution is not None:
            raise
        return plugins.backend(_FALLBACK), missing


def load_importer(name: str) -> ImporterSpec:
    """Find a conversation importer by name, for `statekeep.transport.import_conversations`.

    Args:
        name: The importer's name: ``claude-code``, ``codex``, ``langgraph``, ``openai-agents``, or
            that of any installed plugin; ``dist:name`` chooses between distributions.

    Raises:
        TypeError: The name is not text.
        PluginNotFoundError: No such importer is installed.
        PluginConflictError: Several distributions provide it.
        PluginLoadError: It is broken.

    Examples:
        >>> importer = load_importer("codex")
    """
    if not isinstance(name, str):
        refuse_type("name", "the name of an importer", name)
    return installed_plugins().importer(name)


def load_pruner(name: str, **options: Any) -> PruningStrategy:  # noqa: ANN401
    """Create a pruning strategy by name.

    Args:
        name: The strategy's name: ``ttl``, ``max-sessions``, ``max-per-user``,
            ``keep-last-per-phase``, ``total-bytes``, ``ttl+count``, ``any-of``, or that of any
            installed plugin; ``dist:name`` chooses between distributions.
        options: Its options; see ``statekeep plugins``.

    Raises:
        TypeError: The name is not text.
        ConfigError: An option is wrong or unknown.
        PluginNotFoundError: No such strategy is installed.
        PluginConflictError: Several distributions provide it.
        PluginLoadError: It is broken.

    Examples:
        >>> strategy = load_pruner("ttl+count", max_sessions=100, ttl_hours=168)
    """
    return _load_pruner(name, options, _nowhere)


def _load_pruner(name: str, options: Mapping[str, Any], origin: Origin) -> PruningStrategy:
    if not isinstance(name, str):
        refuse_type("name", "the name of a strategy", name)
    spec = installed_plugins().pruner(name)
    return spec.factory(_configure(spec.config, options, f"the pruning strategy {name!r}", origin))


def open_sessions(config: str | os.PathLike[str] | Settings | None = None) -> Sessions:
    """Open the sessions that the deployment configured; see `Sessions.open`.

    Args:
        config: Settings, or a store to use instead of the configured one: a folder or a URL. By
            default, what the environment and the configuration files say.

    Returns:
        The sessions. Use them at once, in a ``with`` statement or until `Sessions.close`, which
        also closes the store.

    Raises:
        TypeError: `config` is none of these.
        ConfigError, PluginError: As in `open_store`.
        UnsupportedError: The store cannot detect conflicts, and the configuration does not choose
            ``last-writer-wins``.

    Examples:
        >>> with open_sessions("memory:") as sessions:
        ...     session = sessions.get_or_create("ada")
    """
    return Sessions.open(config)


def open_configured(settings: Settings) -> tuple[StateStore, dict[str, Any]]:
    """Open the configured store; return it and further arguments for `Sessions`."""
    names = settings.observers

    def origin(_: Place) -> str | None:
        place = ("observers",)  # separated by commas in the environment, otherwise a list
        return _origin_of(place, names) or _origin_of(place, ",".join(names))

    with _naming(origin, PluginError):
        observers = [installed_plugins().observer(name) for name in names]
    retention = settings.retention and _background_retention(settings.retention, None)
    of_journals = configured_journal_retention(settings)
    store = _open_configured_store(settings, {})
    _logger.debug("opened %s", store)
    chosen = {
        "conflicts": settings.conflicts,
        "observers": observers,
        "retention": retention,
        "journal_retention": of_journals,
    }
    return store, chosen


def configured_journal_retention(
    settings: Settings, collection: str | None = None
) -> dict[str, Retention | None]:
    """Create the configured `journal_retention` of `Sessions` and `Journals`.

    Args:
        settings: The settings.
        collection: The only collection to prune in the background, so that the strategies of
            others need not be installed; None for all.
    """
    return {
        name: _background_retention(each, name) if collection in {None, name} else None
        for name, each in settings.journal_retention.items()
    }


def _background_retention(settings: RetentionSettings, collection: str | None) -> Retention | None:
    if settings.every is None:
        return None
    strategy = configured_strategy(settings, collection=collection)
    retention = Retention(strategy, every=settings.every, trash=settings.trash)
    if settings.min_idle is None:
        return retention
    return replace(retention, min_idle=settings.min_idle)


def configured_strategy(
    settings: RetentionSettings,
    options: Mapping[str, Any] | None = None,
    *,
    collection: str | None = None,
) -> PruningStrategy:
    """Create the strategy that the deployment configured.

    Args:
        settings: The retention settings.
        options: Options of the strategy that override the configured ones.
        collection: The collection whose journals it prunes; None for sessions.
    """
    given = options or {}
    at: Place = ("retention",) if collection is None else ("journal_retention", collection)

    def origin(place: Place) -> str | None:
        if not place:
            return _origin_of((*at, "strategy"), settings.strategy)
        name = str(place[0])
        if name in given or name not in settings.options:
            return None
        return _find_origin((*at, "options", name), settings.options[name])

    with _naming(origin, PluginError):
        return _load_pruner(settings.strategy, {**settings.options, **given}, origin)


def settings_for(
    config: str | os.PathLike[str] | Settings | None, name: str = "config"
) -> Settings:
    """Return the given settings, or the configured ones, perhaps with another store.

    Args:
        config: The argument.
        name: The parameter's name.

    Raises:
        TypeError: It is none of the accepted types.
    """
    if config is None:
        return load_settings()
    if isinstance(config, str):
        return load_settings(url=config)
    if isinstance(config, os.PathLike):
        return load_settings(url=str(_url_of(config)))
    from statekeep.config.settings import Settings  # noqa: PLC0415

    if not isinstance(config, Settings):
        refuse_type(name, "a folder, a URL or Settings", config)
    return config


def _url_of(path: os.PathLike[str]) -> StoreURL:
    # Absolute, so that a leading ~ is a folder with that name.
    return StoreURL.of_path(str(Path(path).absolute()))


def _find_origin(place: Place, *value: object) -> str | None:
    from statekeep.config.settings import find_origin  # noqa: PLC0415

    return find_origin(place, *value)


def _origin_of(place: Place, *value: object) -> str | None:
    """Return where a setting comes from, and its name."""
    found = _find_origin(place, *value)
    return None if found is None else f"{found}: {'.'.join(map(str, place))}"


def _nowhere(_: Place) -> None:
    return None


@contextmanager
def _naming(origin: Origin, *kinds: type[StateStoreError]) -> Iterator[None]:
    """Prefix errors with the setting that they come from: the one at the empty place.

    Args:
        origin: Says where that was configured.
        kinds: The classes of errors to prefix.
    """
    try:
        yield
    except kinds as error:
        if (found := origin(())) is None:
            raise
        raise type(error)(f"{found}: {error.message}") from error.__cause__


def _make_store(
    spec: BackendSpec,
    url: StoreURL,
    options: Mapping[str, Any],
    origin: Origin,
) -> StateStore:
    whose = f"the backend {spec.name!r}"
    _refuse_secrets(options, whose, origin)
    config = _configure(spec.config, options, whose, origin)
    with _naming(origin, ConfigError):
        return spec.factory(url, config)


def _refuse_secrets(options: Mapping[str, Any], whose: str, origin: Origin) -> None:
    # A store shows its options in errors and logs.
    for name, value in options.items():
        if isinstance(value, str) and _USER_IN_URL.match(value):
            where = ": ".join(filter(None, [origin((name,)), name]))
            raise ConfigError(
                f"wrong options for {whose}: {where} holds a user or a password; give credentials "
                "through the environment, never in a URL"
            )


def _configure(
    model: type[BaseModel],
    options: Mapping[str, Any],
    whose: str,
    origin: Origin,
) -> BaseModel:
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        # Not chained: the original error would show values, which may be secret.
        said = complain(model, error, noun="option", origin=origin)
        raise ConfigError(f"wrong options for {whose}: {said}") from None


def installed_plugins() -> Plugins:
    """Return the plugins of this environment that the allow-list ``STATEKEEP_PLUGINS`` allows."""
    from statekeep.plugins.allow_list import allowed_distributions  # noqa: PLC0415 - with pluggy

    return _plugins(allowed_distributions())


@lru_cache(maxsize=8)
def _plugins(allowed: frozenset[str] | None) -> Plugins:
    from statekeep.plugins.loader import Plugins  # noqa: PLC0415 - reads installed distributions

    return Plugins(allowed)
