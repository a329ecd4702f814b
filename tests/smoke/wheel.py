"""Build wheel and sdist, install them in clean environments, and use them as a stranger would.

Each runs what the README says, block by block, in an empty folder; a program of somebody's is
checked against the wheel by a strict mypy; each extra is installed alone and tried.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from installing import install, make_venv

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

EXTRAS = {
    "claude-agent-sdk": "statekeep_adapters.claude:StatekeepSessionStore('memory:')",
    "cli": "statekeep.cli.app:app",
    "export": "statekeep.transport:export_documents(open_store('memory:'), 'state.jsonl.zst')",
    "fsspec": "statekeep:open_store('fsspec+memory://a').get('specs/a.md')",
    "langgraph": "statekeep_adapters.langgraph:StatekeepSaver('memory:')",
    "obstore": "obstore:store",  # beside s3
    "openai-agents": "statekeep_adapters.openai_agents:StatekeepSession",
    "otel": "statekeep_plugins.telemetry:statekeep_event",
    "postgres": "statekeep:open_store('postgresql://localhost/agents')",
    "pydantic-ai": "statekeep_adapters.pydantic_ai:StatekeepConversationStore('memory:')",
    "redis": "statekeep:open_store('redis://localhost/0')",
    "s3": "statekeep:open_store('s3://bucket/prefix')",
    "strands-agents": "statekeep_adapters.strands:StatekeepSessionRepository('memory:')",
    "testing": "statekeep.testing:StateStoreContract",
    "web": "statekeep_web:create_app(open_store('memory:'))",
}
"""What each extra is for, tried where nothing else is installed."""

OURS = {"adapters", "browser", "docs", "test"}
"""Extras of those who work on statekeep."""


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=False, capture_output=True, text=True
    )
    if ended.returncode:
        sys.exit(f"{command}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", scratch / "dist", ROOT, cwd=scratch)
        (wheel,) = (scratch / "dist").glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
        ours = {
            "statekeep", "statekeep_adapters", "statekeep_backends", "statekeep_plugins",
            "statekeep_web",
        }  # fmt: skip
        assert packages == ours, packages
        for package in packages:
            assert f"{package}/py.typed" in names, package
        for file in ("static/page.css", "static/page.js", "templates/base.html"):
            assert f"statekeep_web/{file}" in names, file

        python = make_venv(scratch / "venv")
        install(python, str(wheel))
        consumer = scratch / "consumer.py"
        consumer.write_text((HERE / "consumer.py").read_text())
        print(run(python, consumer, cwd=scratch), end="")

        # Without the extra, the command line says which packages it needs.
        command = scratch / "venv" / "bin" / "statekeep"
        bare = subprocess.run([command], capture_output=True, text=True, check=False)
        assert bare.returncode == 1, bare
        assert "pip install 'statekeep[cli]'" in bare.stderr, bare

        read_the_readme(python, scratch / "from-the-wheel")
        install(python, f"{wheel}[cli]", "mypy")
        print(run(command, "demo", cwd=scratch), end="")
        run(python, "-m", "mypy", "--strict", "consumer.py", cwd=scratch)

        (sdist,) = (scratch / "dist").glob("*.tar.gz")
        from_source = make_venv(scratch / "venv-sdist")
        install(from_source, str(sdist))
        read_the_readme(from_source, scratch / "from-the-sdist")

        for extra in extras():
            alone = make_venv(scratch / f"venv-{extra}")
            install(alone, f"{wheel}[{extra}]")
            module, _, call = EXTRAS[extra].partition(":")
            name = re.split(r"\W", call)[0]
            program = f"from statekeep import open_store; from {module} import {name}; {call}"
            run(alone, "-c", program, cwd=scratch)
    print(f"wheel and sdist are good on Python {sys.version.split()[0]}")


def read_the_readme(python: Path, folder: Path) -> None:
    """Do what it says, each block as a program of its own, in an empty folder."""
    folder.mkdir()
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    for number, block in enumerate(blocks, start=1):
        program = folder / f"block_{number}.py"
        program.write_text(block)
        run(python, program.name, cwd=folder)


def extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["optional-dependencies"].keys() - OURS
    assert named == EXTRAS.keys(), named ^ EXTRAS.keys()
    return sorted(named)


main()
