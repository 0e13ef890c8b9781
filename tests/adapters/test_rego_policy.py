"""The policy in process denies whenever it cannot be asked, and says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import InvalidInput
from domain.registry.policy import NO_POLICY, Decision, policy_digest
from tests.registry.policy_questions import question
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.adapters.rego_policy import RegoPolicy
from veritasvault.settings import packaged_policy

HEAD = "package veritas.lifecycle\nimport rego.v1\n"
NAMES_ITS_FILES = HEAD + "files := data.veritas.policy.files\n"


def decided(directory: Path, rules: str) -> Decision:
    (directory / "rules.rego").write_text(rules)
    return RegoPolicy(directory).decide("promote", question())


def test_no_directory_is_a_denial_by_no_policy(tmp_path: Path) -> None:
    decision = RegoPolicy(tmp_path / "nowhere").decide("promote", question())
    assert decision.reasons == (
        f"policy is '{tmp_path}/nowhere': it cannot be read (No such file or directory)",
    )
    assert decision.policy == NO_POLICY
    assert decision.input == question().digest


def test_a_directory_without_rules_is_a_denial(tmp_path: Path) -> None:
    (tmp_path / "lifecycle_test.rego").write_text("package veritas.lifecycle_test\n")
    assert (
        "name a directory with the *.rego files"
        in RegoPolicy(tmp_path).decide("promote", question()).reasons[0]
    )


def test_a_directory_that_appears_later_is_read_then(tmp_path: Path) -> None:
    """A mistake that was mended needs no new process."""
    policy = RegoPolicy(tmp_path / "policy")
    assert not policy.decide("promote", question()).allowed
    (tmp_path / "policy").symlink_to(packaged_policy())
    assert policy.decide("promote", question()).allowed


def test_a_syntax_error_is_a_denial_that_names_the_file_and_the_error(tmp_path: Path) -> None:
    decision = decided(tmp_path, HEAD + "decision := {")
    assert decision.reasons == ("policy is 'rules.rego': correct its Rego (this is unclosed)",)
    assert decision.policy == PolicyFiles.read(tmp_path).digest


def test_a_file_that_is_no_text_is_a_denial(tmp_path: Path) -> None:
    (tmp_path / "rules.rego").write_bytes(b"\xff\xfe")
    assert "write it in UTF-8" in RegoPolicy(tmp_path).decide("promote", question()).reasons[0]


@pytest.mark.parametrize(
    "rules",
    [
        HEAD + "something := true\n",
        HEAD + "decision := {} if input.nothing\n",
        "package another\nimport rego.v1\ndecision := true\n",
        HEAD + 'decision := {"allowed": true, "reasons": [], "files": data.nothing}\n',
    ],
)
def test_an_undefined_rule_is_a_denial(tmp_path: Path, rules: str) -> None:
    decision = decided(tmp_path, rules)
    assert "data.veritas.lifecycle.decision is undefined" in decision.reasons[0]
    assert decision.policy == PolicyFiles.read(tmp_path).digest


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("true", "the policy answered in another form"),
        ('{"allowed": true}', "give allowed, reasons and files"),
        ('{"allowed": "true", "reasons": [], "files": files}', "give true or false"),
        ('{"allowed": 1, "reasons": [], "files": files}', "give true or false"),
        ('{"allowed": true, "reasons": "", "files": files}', "give a list of texts"),
        ('{"allowed": true, "reasons": [1], "files": files}', "give a list of texts"),
        ('{"allowed": true, "reasons": [], "files": ["rules.rego"]}', "give an object of file names"),
        ('{"allowed": true, "reasons": [], "files": {"rules.rego": "x"}}', "give a SHA-256 digest"),
        ('{"allowed": true, "reasons": [], "files": {}}', "does not name the files"),
        ('{"allowed": true, "reasons": [], "files": files, "more": 1}', "give allowed, reasons and files"),
        ('{"allowed": true, "reasons": ["no"], "files": files}', "has reasons against it"),
        ('{"allowed": false, "reasons": [], "files": files}', "the policy gives no reason"),
        ('{"allowed": false, "reasons": [""], "files": files}', "the policy gives an empty reason"),
    ],
)
def test_an_answer_of_another_form_is_a_denial(tmp_path: Path, answer: str, reason: str) -> None:
    decision = decided(tmp_path, f"{NAMES_ITS_FILES}decision := {answer}\n")
    assert not decision.allowed
    assert any(reason in said for said in decision.reasons), decision


def test_files_that_are_not_those_that_were_read_are_a_denial(tmp_path: Path) -> None:
    """A policy cannot give itself the digest of another."""
    rules = HEAD + 'decision := {{"allowed": true, "reasons": [], "files": {{"rules.rego": "{}"}}}}\n'
    decision = decided(tmp_path, rules.format(digest(b"other rules")))
    assert "does not name the files" in decision.reasons[0]
    assert decision.policy == PolicyFiles.read(tmp_path).digest


def test_two_values_for_one_rule_are_a_denial(tmp_path: Path) -> None:
    decision = decided(tmp_path, HEAD + "decision := input.name\ndecision := input.owner\n")
    assert "it cannot be evaluated" in decision.reasons[0]


def test_a_reason_is_one_line_however_it_was_written(tmp_path: Path) -> None:
    answer = f'{{"allowed": false, "reasons": ["a\\n\\tb", "{"c" * 5000}"], "files": files}}'
    decision = decided(tmp_path, f"{NAMES_ITS_FILES}decision := {answer}\n")
    assert decision.reasons == ("a b", "c" * 500)
    assert Decision.from_json(decision.to_json()) == decision


def test_errors_of_the_engine_are_not_printed(tmp_path: Path) -> None:
    """rego-cpp writes them to standard output by itself, where JSON documents are."""
    (tmp_path / "rules.rego").write_text(HEAD + "decision := {")
    program = (
        "from tests.registry.policy_questions import question; from pathlib import Path; import sys;"
        "from veritasvault.adapters.rego_policy import RegoPolicy;"
        "RegoPolicy(Path(sys.argv[1])).decide('promote', question())"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def test_the_digest_is_that_of_the_documented_document() -> None:
    files = PolicyFiles.read(packaged_policy())
    assert set(files.rules) == {"approvals.rego", "lifecycle.rego", "question.rego"}
    contents = {name: (packaged_policy() / name).read_bytes() for name in files.rules}
    assert files.digest == policy_digest({name: digest(content) for name, content in contents.items()})


def test_one_changed_byte_of_a_rule_is_another_policy_and_one_of_a_case_is_not(tmp_path: Path) -> None:
    for path in packaged_policy().glob("*.rego"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    same = RegoPolicy(tmp_path).decide("promote", question())
    assert same == RegoPolicy(packaged_policy()).decide("promote", question())
    (tmp_path / "lifecycle_cases.rego").write_text("package veritas.lifecycle_cases\n")
    assert RegoPolicy(tmp_path).decide("promote", question()) == same
    changed = tmp_path / "approvals.rego"
    changed.write_bytes(changed.read_bytes() + b"\n")
    other = RegoPolicy(tmp_path).decide("promote", question())
    assert other.allowed
    assert other.policy != same.policy


def test_a_running_process_goes_on_by_the_files_that_it_read(tmp_path: Path) -> None:
    """What decided and what the decision names are the same, also while somebody changes the files."""
    allows = NAMES_ITS_FILES + 'decision := {"allowed": true, "reasons": [], "files": files}\n'
    (tmp_path / "rules.rego").write_text(allows)
    policy = RegoPolicy(tmp_path)
    first = policy.decide("promote", question())
    (tmp_path / "rules.rego").write_text(allows.replace("true", "false"))
    assert first.allowed
    assert policy.decide("promote", question()) == first
    assert not RegoPolicy(tmp_path).decide("promote", question()).allowed


def test_a_directory_of_rules_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(HEAD)
    (tmp_path / "b.rego").mkdir()
    with pytest.raises(InvalidInput, match=r"b\.rego"):
        PolicyFiles.read(tmp_path)
