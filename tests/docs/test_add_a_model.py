"""docs/add-a-model.md is followed to the letter, in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "add-a-model.md"
FILES = re.compile(r"Create `([^`]+)`[^\n]*\n\n```\w+\n(.*?)```", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def test_the_walk_through_ends_with_a_verified_version_of_the_new_model(tmp_path: Path) -> None:
    """Its files are created, its commands run and succeed, and the model passes its own gate."""
    guide = GUIDE.read_text()
    copy = tmp_path / "project"
    for name in ("domain", "plugins", "dags", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy(source, copy / name)
    created = dict(FILES.findall(guide))
    assert set(created) == {
        "domain/risk/downside.py",
        "dags/downside_forecast.toml",
        "dags/downside_forecast.py",
    }
    for name, content in created.items():
        (copy / name).write_text(content)
    lines = [content.count("\n") for name, content in created.items() if name.startswith("dags/")]
    assert sum(lines) <= 30, "a specification and its DAG are at most 30 lines together"

    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy}:{copy}/plugins",
        "VERITAS_HOME": str(tmp_path / "home"),
    }
    for block in CONSOLE.findall(guide):
        for line in block.splitlines():
            command = shlex.split(line.removeprefix("$ "))
            command[0] = str(Path(sys.executable).with_name(Path(command[0]).name))
            done = subprocess.run(
                command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=500
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    shown = subprocess.run(
        [Path(sys.executable).with_name("veritas"), "models", "show", "downside_forecast@1", "--json"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    gates = {gate["gate"]: gate["outcome"] for gate in json.loads(shown.stdout)["gates"]}
    assert gates["rmse at most 1 times ewma"] == "passed"
    assert set(gates.values()) == {"passed"}
