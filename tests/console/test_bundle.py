"""What is committed of the console's pages is what their sources give, and its own tests pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "plugins" / "console-ui"
BUILT = ROOT / "plugins" / "veritasvault" / "console" / "static"
TYPES = Path("src", "api", "schema.ts")

# npm unpacks some hundred megabytes.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in a checkout of their own, so that a build changes nothing here, with their tools."""
    copy = tmp_path_factory.mktemp("checkout") / "plugins" / "console-ui"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    for needed in ("docs/openapi.json", "tests/golden"):
        (copy.parents[1] / needed).parent.mkdir(exist_ok=True)
        (copy.parents[1] / needed).symlink_to(ROOT / needed)
    tools = SOURCES / "node_modules"
    if tools.is_dir():  # make lint has installed them
        (copy / tools.name).symlink_to(tools)
    else:
        npm(copy, "ci", "--ignore-scripts")
    return copy


def npm(place: Path, *arguments: str) -> None:
    """Run the npm that the requirements pin, and show what it says if it fails."""
    pinned = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"} | {"PATH": pinned}
    ended = subprocess.run(
        [Path(sys.executable).with_name("npm"), *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_committed_bundle_is_what_the_sources_give(copy: Path) -> None:
    """Byte for byte, so that nobody has to trust whoever built it: run make console after a change."""
    npm(copy, "run", "build")
    built = copy.parent / "veritasvault" / "console" / "static"
    assert contents(built) == contents(BUILT)


def test_the_types_are_those_of_the_api_as_it_is_published(copy: Path) -> None:
    npm(copy, "run", "types")
    assert (copy / TYPES).read_bytes() == (SOURCES / TYPES).read_bytes()


def test_the_sources_pass_their_own_tests(copy: Path) -> None:
    """The published proof bundles verify in the browser's code, and changed ones do not."""
    npm(copy, "test")


def test_the_lock_names_no_server() -> None:
    """Who installs from a mirror gets the same packages, by their digests."""
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    packages = [about for name, about in lock["packages"].items() if name]
    assert len(packages) > 100
    assert all("resolved" not in about and about["integrity"] for about in packages)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
