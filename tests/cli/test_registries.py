"""The command on an OCI registry and on a git repository: an address, a verified model, the doctor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput
from tests.cli.console import Console, vendor_model
from veritasvault.registry_address import GitAddress, OciAddress


@pytest.fixture(params=["oci", "git"])
def remote(request: pytest.FixtureRequest) -> str:
    """The address of an empty registry."""
    if request.param == "oci":
        return f"oci://{request.getfixturevalue('oci_server').host}/risk/models?insecure=1"
    return f"git+{request.getfixturevalue('git_remote').url}"


def test_a_model_is_registered_listed_retrieved_and_verified(remote: str, empty: Console) -> None:
    console = Console(empty.home, empty.directory, {"VERITAS_REGISTRY": remote})
    metadata, artifact = vendor_model(console.directory)
    console.run("register", "--metadata", metadata, "--artifact", artifact)
    console.run("register", "--metadata", metadata, "--artifact", artifact)
    assert len(console.run("models", "list", "--json").document["versions"]) == 1
    console.run("models", "retrieve", "vendor_vol@1", "out")
    assert (console.directory / "out" / "table.csv").read_bytes() == (artifact / "table.csv").read_bytes()
    console.run("verify", "--all")
    assert not (console.home / "registry").exists()


def test_the_doctor_lists_a_registry_that_is_well(remote: str, empty: Console) -> None:
    found = registry_check(Console(empty.home, empty.directory, {"VERITAS_REGISTRY": remote}), 0)
    assert found["status"] == "ok"
    assert found["detail"] == f"{remote}: reachable, it can be listed"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("oci://127.0.0.1:1/models?insecure=1", "cannot be reached: check host and port"),
        ("git+file:///no/such/repository.git", "there is no such git repository"),
    ],
)
def test_the_doctor_names_a_registry_that_is_not_there(empty: Console, place: str, expected: str) -> None:
    found = registry_check(Console(empty.home, empty.directory, {"VERITAS_REGISTRY": place}), 1)
    assert found["status"] == "fail"
    assert expected in found["detail"]
    assert found["remedy"]


def test_the_doctor_names_programs_that_are_missing(empty: Console, tmp_path: Path) -> None:
    settings = {"VERITAS_REGISTRY": "git+file:///models.git", "PATH": str(tmp_path / "none")}
    found = registry_check(Console(empty.home, empty.directory, settings), 1)
    assert "git and git-lfs cannot be found" in found["detail"]


def registry_check(console: Console, code: int) -> dict[str, Any]:
    checks = console.run("doctor", "--json", code=code).document["checks"]
    return next(check for check in checks if check["name"] == "registry")


def test_addresses_are_read() -> None:
    assert OciAddress.parse("oci://host/models") == OciAddress("host", "models", insecure=False)
    assert OciAddress.parse("oci://[::1]:5000/a/b-c_d?insecure=1") == OciAddress(
        "[::1]:5000", "a/b-c_d", True
    )
    assert GitAddress.parse("git+file:///srv/m.git") == GitAddress("file:///srv/m.git")
    assert GitAddress.parse("git+ssh://git@host:2222/m.git").url == "ssh://git@host:2222/m.git"
    assert GitAddress.parse("git+https://host/m.git").url == "https://host/m.git"


@pytest.mark.parametrize(
    "value",
    [
        "oci://host", "oci:///models", "oci://host/Models", "oci://host/a//b", "oci://host:none/a", "oci://host:0/a",
        "oci://host/models?insecure=yes", "oci://host/models?tag=x", "oci://host/models#x",
        "oci://quant:planted-secret@host/Models", "git+ftp://quant:planted-secret@host/m.git",
        "oci://quant:planted-secret@host/models", "oci://planted-secret@host:99999/models",
        "git+http://host/m.git", "git+ext://host/m.git", "git+https:///m.git", "git+https://host", "git+file://host/m",
        "git+file:///m.git?branch=x", "git+https://quant:planted-secret@host/m.git", "git+https://planted-secret@host/m",
        "git+ssh://git:planted-secret@host/m.git", "git+ssh://git:planted-secret@host:99999/m.git",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_without_what_is_secret_in_them(value: str) -> None:
    parse: Callable[[str], object] = OciAddress.parse if value.startswith("oci") else GitAddress.parse
    with pytest.raises(
        InvalidInput, match=r"VERITAS_REGISTRY is .*: (give (oci|git\+)|take user and password)"
    ) as e:
        parse(value)
    assert "planted-secret" not in str(e.value)
