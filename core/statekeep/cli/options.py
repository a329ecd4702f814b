"""What commands share: options that can go anywhere, and ids that begin with a minus."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from statekeep.cli import output
from statekeep.config.opening import load_settings
from statekeep.config.sizes import parse_size
from statekeep.config.times import parse_duration, parse_moment
from statekeep.errors import NotFoundError
from statekeep.store.urls import StoreURL
from statekeep.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from statekeep.config.settings import Settings

__all__ = [
    "AsJson",
    "Command",
    "Group",
    "Repaired",
    "StoreUrl",
    "bytes_of",
    "count",
    "days",
    "existing",
    "group",
    "hours",
    "past",
    "reading",
    "refuse_missing",
    "seconds",
    "settings_for",
    "strategies",
    "upcoming",
]

_GLOBAL = {"store": "--store", "as_json": "--json"}
_NEGATIVE = re.compile(r"-\d")
_BARE = re.compile(r"\d+(\.\d+)?", re.ASCII)


def _remember(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:  # noqa: ANN401
    """Return the value given before the command, unless one is given here."""
    key = f"statekeep.{param.name}"
    if value:
        ctx.meta[key] = value
    return ctx.meta.get(key, value)


def _be_verbose(wanted: bool) -> None:
    if wanted:
        output.log_debug()


StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        callback=_remember,
        help="The store: a folder or a URL. Default: the configured one, else ./statekeep-data.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", callback=_remember, help="Print the result as JSON.")
]
Repaired = Annotated[
    bool,
    typer.Option("--repair-text", help="Show U+FFFD for characters that were cut in half."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=_be_verbose,
        expose_value=False,
        help="Log each operation and how long it takes to standard error.",
    ),
]


class Command(TyperCommand):
    """A command that has ``--verbose`` and accepts negative numbers as arguments."""

    def __init__(self, *args: Any, params: Iterable[Any] = (), **settings: Any) -> None:  # noqa: ANN401
        super().__init__(*args, params=[*params, _verbose()], **settings)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's, or a copy
        """Accept ids such as ``-100123``, and refuse global options that the command lacks."""
        rest: list[str] = super().parse_args(ctx, _with_negative_ids(self.params, args))
        own = {param.name for param in self.params}
        for name, option in _GLOBAL.items():
            if f"statekeep.{name}" in ctx.meta and name not in own:
                ctx.fail(f"'{ctx.command_path}' has no {option}")
        return rest


class Group(TyperGroup):
    """A group whose help wraps sentences instead of cutting them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the commands, each with the first sentence of its help, to the help text."""
        with formatter.section("Commands"):
            formatter.write_dl(self.described(ctx))

    def described(self, ctx: Any) -> list[tuple[str, str]]:  # noqa: ANN401
        """Return the commands, each with the first sentence of its help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, each.get_short_help_str(10_000)) for name, each in commands if each]


def group(help_: str) -> typer.Typer:
    """Make a group of commands that accepts the global options before a command's name."""
    made = typer.Typer(help=help_, cls=Group, no_args_is_help=True)

    @made.callback()
    def _options(
        store: StoreUrl = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        pass

    return made


@cache
def _verbose() -> Any:  # noqa: ANN401
    """Return the option ``--verbose`` as typer makes it."""
    maker = typer.Typer(add_completion=False)

    @maker.command()
    def _(verbose: Verbose = False) -> None:
        pass

    return next(each for each in typer.main.get_command(maker).params if each.name == "verbose")


def _with_negative_ids(params: list[Any], args: list[str]) -> list[str]:
    """Move arguments that begin with a minus and a digit behind ``--``.

    No option begins like that, but ids of chats do.
    """
    if not any(map(_NEGATIVE.match, args)):
        return args
    takes_value = {
        name
        for param in params
        if param.param_type_name == "option" and not param.is_flag
        for name in param.opts
    }
    options: list[str] = []
    arguments: list[str] = []
    rest = iter(args)
    for each in rest:
        if each == "--":
            arguments += rest
        elif each in takes_value:
            options += [each, *islice(rest, 1)]
            if options[-1] == each:
                return options  # its value is missing; an argument must not take its place
        elif each.startswith("-") and each != "-" and not _NEGATIVE.match(each):
            options.append(each)
        else:
            arguments.append(each)
    return [*options, "--", *arguments]


def _read(parse: Any, text: str, **given: Any) -> Any:  # noqa: ANN401
    try:
        return parse(text, **given)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, not {text!r}") from None


def count(text: str) -> int:
    """Parse a number of things, at least one."""
    if not text.isdecimal() or not int(text):
        raise typer.BadParameter(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def bytes_of(text: str) -> int:
    """Parse a number of bytes: ``500``, ``10k``, ``1.5M``, ``2 GB``."""
    size: int = _read(parse_size, text)
    return size


def past(text: str) -> datetime:
    """Parse a point in time; ``7d`` is seven days ago."""
    moment: datetime = _read(parse_moment, text)
    return moment


def upcoming(text: str) -> datetime:
    """Parse a point in the future; ``7d`` is in seven days."""
    moment: datetime = _read(parse_moment, text, durations="future")
    if moment <= utc_now():
        raise typer.BadParameter(f"must be in the future, such as 7d or tomorrow, not {text!r}")
    return moment


def hours(text: str) -> timedelta:
    """Parse a duration; a bare number is hours."""
    return _duration(text, "h")


def days(text: str) -> timedelta:
    """Parse a duration; a bare number is days."""
    return _duration(text, "d")


def seconds(text: str) -> timedelta:
    """Parse a duration longer than zero; a bare number is seconds."""
    length = _duration(text, "s")
    if not length:
        raise typer.BadParameter(f"must be longer than zero, such as 2s, not {text!r}")
    return length


def _duration(text: str, unit: str) -> timedelta:
    length: timedelta = _read(parse_duration, text + unit if _BARE.fullmatch(text) else text)
    return length


def strategies(incomplete: str) -> list[str]:
    """Complete the name of an installed strategy, without loading any."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - only for completion

    from statekeep.plugins.builtin import BUILTIN  # noqa: PLC0415

    group = "statekeep.pruners"
    names = {*BUILTIN[group], *(each.name for each in entry_points(group=group))}
    return sorted(name for name in names if name.startswith(incomplete))


def settings_for(url: str | None) -> Settings:
    """Load the configuration, with another store if one is given."""
    # The configured options belong to the configured backend.
    settings = load_settings() if url is None else load_settings(url=url, options={})
    # A command must not prune as a side effect.
    for each in filter(None, [settings.retention, *settings.journal_retention.values()]):
        each.every = None
    return settings


def existing(url: str | None) -> Settings:
    """Load the settings for a command that changes a store but must not create one.

    Raises:
        NotFoundError: The folder or file of the store does not exist.
    """
    settings = settings_for(url)
    refuse_missing(settings)
    return settings


@contextmanager
def reading(url: str | None) -> Iterator[Settings]:
    """Load the settings for a command that reads, and refuse a store that does not exist.

    Raises:
        NotFoundError: The folder or file of the store does not exist.
    """
    settings = settings_for(url)
    try:
        yield settings
    except NotFoundError as error:
        if (missing := _missing(settings)) is None:
            raise
        what, path = missing
        raise NotFoundError(
            f"{error.message}, because there is no such {what}", key=error.key, store=path
        ) from None
    refuse_missing(settings)


def refuse_missing(settings: Settings) -> None:
    """Check that the folder or file of the store exists, and note that memory starts empty.

    Raises:
        NotFoundError: It does not.
    """
    if (missing := _missing(settings)) is not None:
        what, path = missing
        raise NotFoundError(f"there is no such {what}; the first write creates it", store=path)
    if StoreURL.parse(settings.url).scheme == "memory":
        output.note("note: a store in memory is empty in each new process", "yellow")


_PLACES: Final = {"file": "folder", "sqlite": "file"}
"""The backends whose stores are on this machine, and what such a store is."""


def _missing(settings: Settings) -> tuple[str, Path] | None:
    """Return the kind and path of the store's folder or file if it does not exist, else None."""
    url = StoreURL.parse(settings.url)
    if what := _PLACES.get(url.scheme):
        try:
            url.path.stat()
        except FileNotFoundError:
            return what, url.path
        except OSError:
            pass  # opening the store will say what is wrong
    return None
