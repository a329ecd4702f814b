"""Every code block in the docs of the adapters runs, and every adapter has a page."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
from sybil import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

import statekeep_adapters

FOLDER = Path(__file__).parents[2] / "docs" / "adapters"
PAGES = sorted(FOLDER.glob("*.md"))
ADAPTERS = [
    module.name
    for module in pkgutil.iter_modules(statekeep_adapters.__path__)
    if not module.name.startswith("_")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("empty_folder")
def test_every_code_block_runs(page: Path) -> None:
    document = Document.parse(str(page), CodeBlockParser("python", PythonEvaluator()))
    examples = list(document.examples())
    assert len(examples) == len(re.findall(r"^```\w", page.read_text(), re.MULTILINE))
    for example in examples:
        example.evaluate()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_has_a_page_with_the_same_headings(adapter: str) -> None:
    page = FOLDER / f"{adapter.replace('_', '-')}.md"
    assert f"({page.name})" in (FOLDER / "README.md").read_text()
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == [
        "Benefits",
        "Limitations",
        "Moving conversations",
        "How it is stored",
    ]
