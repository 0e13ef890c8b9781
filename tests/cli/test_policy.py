"""`veritas policy` says what decides, whether it decides as expected, and makes what a server loads."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.servers.opa_like import opa_like
from veritasvault.adapters.opa_bundle import bundle
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.settings import packaged_policy

ROOT = Path(__file__).parents[2]
FILES = PolicyFiles.read(packaged_policy())


def with_policy(console: Console, policy: object) -> Console:
    return Console(console.home, console.directory, {"VERITAS_POLICY": str(policy)})


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A directory with the packaged policy, to be changed."""
    directory = tmp_path / "policy"
    directory.mkdir()
    for path in packaged_policy().glob("*.rego"):
        (directory / path.name).write_bytes(path.read_bytes())
    return directory


def loosen(directory: Path) -> None:
    """Let tier 2 be promoted without an approval."""
    rules = directory / "lifecycle.rego"
    text = rules.read_text()
    assert "input.risk_tier == 2\n" in text
    rules.write_text(text.replace("input.risk_tier == 2\n", "input.risk_tier == 22\n"))


def test_the_packaged_policy_is_in_force_by_default_and_decides_as_expected(empty: Console) -> None:
    document = empty.run("policy", "check", "--json").document
    assert document["good"]
    assert document["place"] == str(ROOT / "deploy" / "policy")
    assert (document["engine"], document["digest"]) == ("process", FILES.digest)
    assert document["files"] == FILES.digests
    assert document["cases"] > 75
    assert document["failures"] == document["problems"] == []
    assert not empty.home.exists()


def test_a_rule_that_was_changed_fails_the_cases_that_it_breaks(empty: Console, copied: Path) -> None:
    loosen(copied)
    console = with_policy(empty, copied)
    document = console.run("policy", "check", "--json", code=1).document
    assert document["digest"] == PolicyFiles.read(copied).digest != FILES.digest
    names = {failure["name"] for failure in document["failures"]}
    assert {"tier 2 needs an approval", "tier 2 needs it from a risk officer"} <= names
    text = console.run("policy", "check", code=1).out
    assert f"{len(names)} of {document['cases']} cases decided in another way" in text
    assert "tier 2 needs a risk_officer for vol@2" in text
    assert "allowed" in text


def test_a_syntax_error_is_wrong_input_that_names_the_file(empty: Console, copied: Path) -> None:
    (copied / "approvals.rego").write_text("package veritas.approvals\nofficer := {")
    answer = with_policy(empty, copied).run("policy", "check", code=2)
    assert answer.sentence == "policy is 'approvals.rego': correct its Rego (this is unclosed)"
    assert answer.out == ""


def test_a_policy_without_cases_is_not_good(empty: Console, copied: Path) -> None:
    for path in copied.glob("*_cases.rego"):
        path.unlink()
    document = with_policy(empty, copied).run("policy", "check", "--json", code=1).document
    assert document["problems"] == ["no case says what is expected of the policy: add *_cases.rego"]


@pytest.mark.parametrize("broken", ["{}", '{"case": {"input": {}}}', "7"])
def test_cases_of_another_form_are_wrong_input(empty: Console, copied: Path, broken: str) -> None:
    (copied / "lifecycle_cases.rego").write_text(
        f"package veritas.more_cases\nimport rego.v1\ncases := {broken}\n"
    )
    (copied / "question_cases.rego").unlink()
    code = 1 if broken == "{}" else 2
    assert with_policy(empty, copied).run("policy", "check", code=code)


def test_a_directory_that_is_not_there_is_wrong_input(empty: Console) -> None:
    answer = with_policy(empty, "/nonexistent").run("policy", "check", code=2)
    assert answer.sentence == "policy is '/nonexistent': it cannot be read (No such file or directory)"


def test_a_setting_that_names_no_policy_is_wrong_input(empty: Console) -> None:
    for value in ("ftp://host/policy", "http://user:secret@host:8181", "http://host:8181/?a=b", "http://:1"):
        answer = with_policy(empty, value).run("policy", "check", code=2)
        assert answer.sentence.startswith("VERITAS_POLICY is ")


def test_a_server_with_the_bundle_that_was_made_is_in_force(empty: Console) -> None:
    made = empty.run("policy", "bundle", "policy.tar.gz", "--json").document
    assert made == {"file": "policy.tar.gz", "digest": FILES.digest, "files": FILES.digests}
    with opa_like((empty.directory / "policy.tar.gz").read_bytes()) as url:
        document = with_policy(empty, url).run("policy", "check", "--json").document
        assert "by this server" in with_policy(empty, url).run("policy", "check").out
    assert (document["good"], document["engine"], document["digest"]) == (True, "server", FILES.digest)
    assert document["cases"] > 75


def test_a_server_with_other_rules_is_found_by_its_files_and_by_its_decisions(
    empty: Console, copied: Path
) -> None:
    loosen(copied)
    with opa_like(bundle(PolicyFiles.read(copied))) as url:
        console = with_policy(empty, url)
        document = console.run("policy", "check", "--json", code=1).document
        assert document["problems"] == [
            "the server has another lifecycle.rego: load a new bundle, or say --files DIRECTORY"
        ]
        assert document["failures"]
        same = console.run("policy", "check", "--files", copied, "--json", code=1).document
        assert same["problems"] == []
        assert same["failures"] == document["failures"]


def test_a_server_without_the_list_of_its_files_is_not_good(empty: Console) -> None:
    nameless = PolicyFiles({"lifecycle.rego": "package veritas.lifecycle\nimport rego.v1\nfiles := {}\n"}, {})
    with opa_like(bundle(nameless)) as url:
        document = with_policy(empty, url).run("policy", "check", "--json", code=1).document
    assert document["problems"] == [
        "the server does not name its files: load what veritas policy bundle makes"
    ]


def test_a_server_that_is_away_is_not_available(empty: Console) -> None:
    answer = with_policy(empty, "http://127.0.0.1:1").run("policy", "check", "--json", code=1)
    assert answer.document["error"]["kind"] == "Unavailable"
    assert answer.document["error"]["retriable"]


def test_files_are_named_for_servers_alone(empty: Console) -> None:
    answer = empty.run("policy", "check", "--files", packaged_policy(), code=2)
    assert "--files needs a server" in answer.sentence


def test_a_bundle_is_made_of_the_files_that_are_named(empty: Console, copied: Path) -> None:
    loosen(copied)
    made = empty.run("policy", "bundle", "policy.tar.gz", "--files", copied)
    assert PolicyFiles.read(copied).digest in made.out
    assert (empty.directory / "policy.tar.gz").read_bytes() == bundle(PolicyFiles.read(copied))
    refused = empty.run("policy", "bundle", "nowhere/policy.tar.gz", code=2)
    assert "it cannot be written" in refused.sentence


def test_the_doctor_names_a_policy_that_cannot_decide(empty: Console, copied: Path) -> None:
    loosen(copied)
    for policy, detail in ((copied, "case failed: an approval"), ("http://127.0.0.1:1", "cannot be asked")):
        checks = with_policy(empty, policy).run("doctor", "--json", code=1).document["checks"]
        found = next(check for check in checks if check["name"] == "policy")
        assert found["status"] == "fail"
        assert detail in found["detail"]


def test_an_installed_package_brings_the_policy_along(tmp_path: Path) -> None:
    """A wheel holds the files themselves, where the checkout has a link."""
    build = "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    source = tmp_path / "source"
    names = subprocess.run(
        ["git", "ls-files", "domain", "plugins", "deploy/policy", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in names:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            place.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).is_file():
            place.write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=source, capture_output=True, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {
            name.removeprefix("veritasvault/policy/"): wheel.read(name)
            for name in wheel.namelist()
            if name.startswith("veritasvault/policy/")
        }
    assert packed == {path.name: path.read_bytes() for path in (ROOT / "deploy" / "policy").glob("*.rego")}
