"""Build the wheel, install it in a clean environment, use it there, and type-check against it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from installing import install, make_venv

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


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

        install(python, f"{wheel}[cli]", "mypy")
        print(run(command, "demo", cwd=scratch), end="")
        run(python, "-m", "mypy", "--strict", "consumer.py", cwd=scratch)
    print("the wheel is good")


main()
