"""What the repository itself promises: hashed pins without addresses, light DAG files, valid services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from veritasvault.airflow_local.environment import base_environment, plugins_folder

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("requirements.txt", "requirements-test.txt", "requirements-uv.txt")
DAGS = sorted((ROOT / "dags").glob("*.py"))

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
print("\\n" + json.dumps({"dags": list(bag.dags), "errors": bag.import_errors, "modules": list(sys.modules)}))
"""


def tracked() -> list[Path]:
    """Every file under version control."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    """Each package has one version for a platform and a SHA-256, so that a mirror cannot differ."""
    text = (ROOT / name).read_text()
    entries = re.findall(r"^(\S+?)==(\S+)((?:.*\\\n)+.*)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert len(entries) == len(lines) > 0
    assert all("--hash=sha256:" in rest for _, _, rest in entries)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_hold_no_address(name: str) -> None:
    """The same file works for whoever installs from a mirror: it names no index, file or server."""
    assert not re.search(r"://|--index-url|--find-links|--extra-index|@ file", (ROOT / name).read_text())


def test_the_tests_run_on_what_users_run() -> None:
    """Each pin of the runtime is a pin of the tests."""
    runtime, tests = (pins(ROOT / name) for name in REQUIREMENTS[:2])
    assert runtime <= tests


def test_no_tracked_file_names_an_index_or_a_path_of_one_machine() -> None:
    """Nothing that was tracked points at where its author works."""
    # Put together here, for this file is tracked too.
    indexes = ["py" + "pi.org", "pythonhosted" + ".org", "npmjs" + ".org", "crates" + ".io"]
    places = [
        f"/{place}/" for place in ("home/" + r"\w+", "Us" + r"ers/\w+", "work" + "/main", "tmp" + "/boot")
    ]
    pattern = re.compile("|".join([*map(re.escape, indexes), *places]))
    found = {
        str(path.relative_to(ROOT)): match.group()
        for path in tracked()
        if (match := pattern.search(path.read_bytes().decode("utf-8", "ignore")))
    }
    assert found == {}


@pytest.mark.parametrize("dag_file", DAGS, ids=lambda path: path.name)
def test_parsing_a_dag_file_imports_nothing_heavy(dag_file: Path, tmp_path: Path) -> None:
    """The DAG processor reads each file every half minute: it must not import what only tasks need."""
    url = f"sqlite:///{tmp_path / 'airflow.db'}"
    environment = base_environment(tmp_path, ROOT / "dags", plugins_folder(), url, {"PATH": "/usr/bin:/bin"})
    ended = subprocess.run(
        [sys.executable, "-c", PARSE, str(dag_file)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["dags"]
    assert not answer["errors"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    heavy = {*banned, "numpy", "polars", "pyarrow"} - {"airflow"}
    assert sorted(heavy & {name.split(".")[0] for name in answer["modules"]}) == []


def test_the_services_are_valid_by_the_compose_specification() -> None:
    """The file satisfies the schema that the specification publishes."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ended = subprocess.run(
        [*command, str(ROOT / "docker-compose.yaml")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_services_hold_no_secret() -> None:
    """Every password and key is a variable without a default, named in the example of an environment file."""
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    # The section of Airflow's configuration that is called "secrets" says where they are.
    secret = re.compile(r"PASSWORD|SECRET(?!S__BACKEND)|FERNET|ACCESS_KEY")
    values = {
        str(value)
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if secret.search(name)
    }
    assert values
    assert all(re.fullmatch(r"\$\{\w+:\?\}", value) for value in values)
    named = set(re.findall(r"^(\w+)=$", (ROOT / "deploy" / "example.env").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+):\?\}", (ROOT / "docker-compose.yaml").read_text())) == named


def test_every_mounted_and_built_file_exists() -> None:
    """What the services mount from the checkout and what the image copies is there."""
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    wanted = [*(place for place in mounted if place.startswith("./")), *" ".join(copied).split()]
    assert wanted
    assert [place for place in wanted if not (ROOT / place).exists()] == []


def pins(path: Path) -> set[str]:
    """Package and version of every line that pins one."""
    return set(re.findall(r"^\S+==\S+", path.read_text(), re.MULTILINE))
