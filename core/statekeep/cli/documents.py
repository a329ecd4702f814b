"""``statekeep documents``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from statekeep.cli import output
from statekeep.cli.options import AsJson, Command, Repaired, StoreUrl, group, reading
from statekeep.config.opening import open_store
from statekeep.documents import Documents
from statekeep.errors import InvalidKeyError, NotFoundError
from statekeep.views import views

if TYPE_CHECKING:
    from statekeep.documents import Document
    from statekeep.format.json import RepairText

__all__ = ["app"]

app = group("List and show documents.\n\nFor example: statekeep documents list specs/v1")

Kind = Annotated[
    str | None,
    typer.Option(metavar="json|md", help="Which kind to show, if both have this name."),
]


@app.command("list", cls=Command)
def list_documents(
    category: Annotated[
        str | None,
        typer.Argument(
            metavar="CATEGORY", help="Only documents of this category; '.' is the root."
        ),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List documents.

    For example: statekeep documents list specs/v1
    """
    with reading(store) as settings, open_store(settings) as opened:
        with output.waiting("listing the documents"):
            found = Documents(opened).list(category)
        where = str(opened)
    if as_json:
        output.print_json(views.documents(found))
    elif found:
        output.print_table(
            ["CATEGORY", "NAME", "KIND", "SIZE", "MODIFIED"],
            (
                [
                    each.category,
                    each.name,
                    each.kind,
                    output.size(each.size),
                    output.ago(each.modified),
                ]
                for each in found
            ),
            longest=(40, 40),
        )
    else:
        output.note(f"no such documents in {where}")


@app.command(cls=Command)
def show(
    category: Annotated[
        str,
        typer.Argument(metavar="CATEGORY", help="The category of the document; '.' is the root."),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of the document, without its ending.")
    ],
    kind: Kind = None,
    repair_text: Repaired = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print one document.

    For example: statekeep documents show specs/v1 parser --kind md
    """
    if kind not in {None, "json", "md"}:
        raise typer.BadParameter("'json' or 'md'", param_hint="--kind")
    repair: RepairText = "replace" if repair_text else "refuse"
    with reading(store) as settings, open_store(settings) as opened:
        documents = Documents(opened)
        found: dict[str, Document[Any] | Document[str]] = {}
        if kind in {None, "json"} and (
            data := documents.load_json(category, name, repair_text=repair)
        ):
            found["json"] = data
        if kind in {None, "md"} and (
            text := documents.load_markdown(category, name, repair_text=repair)
        ):
            found["md"] = text
        where = str(opened)
    if not found:
        ending = name.endswith((".md", ".json"))
        hint = "; give the name without its ending" if ending else ""
        raise NotFoundError(f"no such document{hint}", key=f"{category}/{name}", store=where)
    if len(found) > 1:
        raise InvalidKeyError(
            "there is a JSON and a Markdown document; choose one with --kind",
            key=f"{category}/{name}",
            store=where,
        )
    ((chosen, document),) = found.items()
    if as_json:
        output.print_json({"kind": chosen, "version": document.version, "value": document.value})
    elif chosen == "json":
        output.print_content(orjson.dumps(document.value, option=orjson.OPT_INDENT_2).decode())
    elif sys.stdout.isatty():
        output.print_content(str(document.value))
    else:
        output.print_exactly(str(document.value))
