"""``statekeep conformance``."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson
from statekeep.errors import ConfigError

if TYPE_CHECKING:
    from statekeep.testing.conformance import Conformance
    from statekeep.testing.running import Outcome

__all__ = ["conformance"]


def conformance(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The store to test: a folder or a URL.")
    ],
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Test in the store itself, which must be empty, not in a new one below it.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Test whether a store keeps what the protocol promises.

    Tests run in a new place below the URL, which is removed at the end. The exit code is 0 if the
    store keeps all it claims.

    For example: statekeep conformance postgresql://localhost/agents
    """
    if missing := [name for name in ("hypothesis", "pytest") if find_spec(name) is None]:
        raise ConfigError(
            f"not installed: {', '.join(missing)}; pip install 'statekeep[cli,testing]'"
        )
    from statekeep.testing.conformance import check_store  # noqa: PLC0415 - an extra

    with output.bar("testing") as progress:
        found = check_store(url, in_place=in_place, progress=progress)
    if as_json:
        output.print_json(asdict(found))
    else:
        _print(found)
    if _those(found, "broken"):
        raise typer.Exit(1)


def _print(found: Conformance) -> None:
    output.print_text(f"The store is {found.store}", "bold")
    claimed = [name for name, value in asdict(found.claims).items() if value]
    output.print_text(f"It claims: {', '.join(claimed) or 'only what every store must do'}")
    holds, broken = _those(found, "holds"), _those(found, "broken")
    _print_group("What holds", holds, "green")
    untested = _those(found, "not tested")
    for group in (_those(found, "not claimed"), untested):
        for reason in dict.fromkeys(each.reason for each in group):
            alike = [each for each in group if each.reason == reason]
            _print_group(f"{reason[:1].upper()}{reason[1:]}", alike)
    _print_group("What it breaks", broken, "red")
    output.print_text()
    if untested:
        output.print_text(f"{len(untested)} promises were not tested, for the reasons above.")
    if broken:
        output.print_text(f"It breaks {len(broken)} of {len(holds) + len(broken)} promises.", "red")
    else:
        output.print_text(f"It keeps all {len(holds)} promises that it makes.", "green")


def _those(found: Conformance, verdict: str) -> list[Outcome]:
    return [each for each in found.outcomes if each.verdict == verdict]


def _print_group(heading: str, outcomes: list[Outcome], style: str = "") -> None:
    if outcomes:
        output.print_text()
        output.print_text(f"{heading}:", "bold")
    for each in outcomes:
        output.print_text(f"  {each.promise}", style)
        if each.verdict == "broken":
            output.print_text(f"    {each.reason}")
