"""Whose commands are whose: tokens, the operating system's user, and people with several names."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.console import Answer, Console, register_forecast
from tests.servers.oidc import Provider
from veritasvault.bootstrap import bootstrap

ROLES = '[roles]\nrisk_officer = ["alice"]\nmodel_validator = ["oidc:77aa"]\n'
PEOPLE = '[people]\nalice = ["oidc:8f3e", "asmith"]\n'
APPROVE = ("approve", "forecast@1", "--role", "risk_officer", "--reason", "fine")


@pytest.fixture
def signed_in(console: Console, oidc: Provider) -> Console:
    """A home with roles for people that the provider knows; nobody has a token yet."""
    (console.home / "roles.toml").write_text(ROLES + PEOPLE)
    return Console(console.home, console.directory, {"VERITAS_OIDC_ISSUER": oidc.url})


def with_token(console: Console, token: str) -> Console:
    file = console.directory / "token"
    file.touch(mode=0o600)
    file.write_text(token + "\n")
    return Console(console.home, console.directory, {**console.settings, "VERITAS_TOKEN_FILE": str(file)})


def last_event(console: Console) -> dict[str, Any]:
    event: dict[str, Any] = console.run("ledger", "show", "--json").document["entries"][-1]["event"]
    return event


def size(console: Console) -> int:
    found: int = console.run("ledger", "show", "--json").document["size"]
    return found


def register(console: Console, *, code: int = 0) -> Answer:
    (console.directory / "model" / "notes.txt").write_text("another model\n")
    return console.run("register", "--metadata", "model.json", "--artifact", "model", code=code)


def test_a_verified_subject_is_the_actor_that_the_ledger_records(signed_in: Console, oidc: Provider) -> None:
    """With who vouches for it; the token itself is nowhere."""
    token = oidc.token("77aa")
    console = with_token(signed_in, token)
    register(console)
    provenance = last_event(console)["provenance"]
    assert (provenance["actor"], provenance["actor_known_by"]) == ("oidc:77aa", oidc.url)
    assert provenance["triggered_by"] == "oidc:77aa"
    for file in console.home.rglob("*"):
        assert not file.is_file() or token.split(".")[2].encode() not in file.read_bytes()


def test_without_a_token_the_actor_is_the_user_of_the_operating_system(signed_in: Console) -> None:
    register(signed_in)
    provenance = last_event(signed_in)["provenance"]
    assert (provenance["actor"], provenance["actor_known_by"]) == (getpass.getuser(), "operating system")


def test_the_option_names_a_token_too(signed_in: Console, oidc: Provider) -> None:
    (signed_in.directory / "mine").write_text(oidc.token("8f3e"))
    signed_in.run("--token-file", "mine", *APPROVE)
    assert last_event(signed_in)["actor"] == "alice"


def test_roles_are_those_of_the_person_whom_a_subject_means(signed_in: Console, oidc: Provider) -> None:
    """By `people`, or because the subject itself has the role."""
    with_token(signed_in, oidc.token("8f3e")).run(*APPROVE)
    assert last_event(signed_in)["actor"] == "alice"
    validator = with_token(signed_in, oidc.token("77aa"))
    validator.run("reject", "forecast@1", "--reason", "odd")
    assert last_event(validator)["actor"] == "oidc:77aa"
    stranger = with_token(signed_in, oidc.token("alice"))
    assert "oidc:alice does not have the role risk_officer" in stranger.run(*APPROVE, code=1).sentence


def test_an_author_does_not_approve_under_another_name(tmp_path: Path, oidc: Provider) -> None:
    """The owner in the metadata is somebody who has a token too."""
    console = Console(tmp_path / "home", tmp_path, {"VERITAS_OIDC_ISSUER": oidc.url})
    application = console.application()
    register_forecast(application, tmp_path)
    owner = application.catalog.show("forecast@1").manifest.metadata.owner
    (console.home / "roles.toml").write_text(ROLES + f'[people]\nalice = ["oidc:8f3e", "{owner}"]\n')
    refused = with_token(console, oidc.token("8f3e")).run(*APPROVE, code=1)
    assert "alice is an author of forecast@1: somebody else has to approve it" in refused.sentence


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1_700_000_000}, "it expired at 2023-11-14 22:13:20Z"),
        ({"aud": "other"}, "it is not for veritas"),
        ({"iss": "https://other.example"}, "it is not of http"),
    ],
)
def test_a_token_that_does_not_hold_records_nothing(
    signed_in: Console, oidc: Provider, claims: dict[str, Any], said: str
) -> None:
    before, console = size(signed_in), with_token(signed_in, oidc.token("8f3e", **claims))
    for answer in (
        register(console, code=2),
        console.run(*APPROVE, code=2),
        console.run("keys", "rotate", code=2),
    ):
        assert answer.sentence.startswith("VERITAS_TOKEN_FILE is ")
        assert said in answer.sentence
    assert size(signed_in) == before


def test_a_token_counts_only_if_an_issuer_is_believed(console: Console, oidc: Provider) -> None:
    answer = with_token(console, oidc.token()).run(*APPROVE, code=2)
    assert "set VERITAS_OIDC_ISSUER to whose token it is" in answer.sentence


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_without_a_token_is_one_sentence(signed_in: Console, content: bytes) -> None:
    (signed_in.directory / "empty").write_bytes(content)
    answer = signed_in.run("--token-file", "empty", *APPROVE, code=2)
    assert "there is no token in it" in answer.sentence
    assert "name a file that can be read" in signed_in.run("--token-file", "no", *APPROVE, code=2).sentence


def test_an_issuer_that_is_away_is_no_wrong_input(signed_in: Console, oidc: Provider) -> None:
    token = oidc.token()
    oidc.answers["/keys"] = (500, "broken")
    answer = with_token(signed_in, token).run(*APPROVE, code=1)
    assert "the keys of VERITAS_OIDC_ISSUER cannot be had" in answer.sentence


def test_the_doctor_says_who_you_are(signed_in: Console, oidc: Provider) -> None:
    console = with_token(signed_in, oidc.token("8f3e"))
    found = identity(console)
    said = f"you are oidc:8f3e, who is alice, by the word of the issuer {oidc.url}; roles: risk_officer"
    assert (found["status"], found["detail"]) == ("ok", said)
    (console.directory / "token").chmod(0o644)
    assert identity(console)["status"] == "warn"
    assert identity(with_token(signed_in, oidc.token(aud="other")))["status"] == "fail"
    assert "by the word of the operating system; roles: none" in identity(signed_in)["detail"]


def identity(console: Console) -> dict[str, Any]:
    checks = console.run("doctor", "--json", code=None).document["checks"]
    return next(check for check in checks if check["name"] == "identity")


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ('alice = "asmith"', "give a list of names"),
        ('alice = ["asmith"]\nbob = ["asmith"]', "another person has this name"),
        ('alice = ["bob"]\nbob = ["bsmith"]', "another person has this name"),
    ],
)
def test_one_name_means_one_person(console: Console, people: str, said: str) -> None:
    (console.home / "roles.toml").write_text(f"{ROLES}[people]\n{people}\n")
    assert said in console.run(*APPROVE, code=2).sentence


def test_who_wrote_the_code_is_told_where_there_is_no_checkout(tmp_path: Path) -> None:
    """An image has no git history; what its build says keeps the author from approving all the same."""
    given = {"VERITAS_HOME": str(tmp_path), "VERITAS_CODE_VERSION": "1.2"}
    assert "author" not in bootstrap(given).provenance()
    told = bootstrap({**given, "VERITAS_CODE_AUTHOR": "Ann Lee <ann@example.com>"}).provenance()
    assert (told["code"], told["author"], told["author_email"]) == ("1.2", "Ann Lee", "ann@example.com")
