"""Decisions on versions by the command: approved, promoted, rolled back, halted, and refused with reasons."""

from __future__ import annotations

import os
import pwd

import pytest

from tests.cli.console import Console

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def officer(console: Console) -> Console:
    """The console of somebody who is risk officer and model validator."""
    roles = f'[roles]\nrisk_officer = ["{ME}"]\nmodel_validator = ["{ME}"]\n'
    (console.home / "roles.toml").write_text(roles)
    return console


def test_a_version_is_approved_and_promoted(officer: Console) -> None:
    """Refused without approval, with the reasons and exit code 1; after it the version is NAME@champion."""
    refused = officer.run("promote", "forecast@1", "--reason", "review", code=1)
    assert "forecast@1 needs the approval of risk_officer" in refused.out
    officer.run("approve", "forecast@1", "--role", "risk_officer", "--reason", "figures are fine")
    document = officer.run("promote", "forecast@challenger", "--reason", "review", "--json").document
    assert (document["champion"], document["done"], document["reasons"]) == (1, True, [])
    assert document["events"][0]["policy"]["allowed"] is True
    assert officer.run("models", "show", "forecast@champion", "--json").document["version"] == 1
    again = officer.run("promote", "forecast@1", "--reason", "review").out
    assert again == "forecast@1 is the champion already, nothing was added\n"
    shown = officer.run("lifecycle", "forecast", "--json").document
    assert [event["kind"] for event in shown["events"]] == [
        "PromotionRefused",
        "ModelApproved",
        "ModelPromoted",
    ]
    assert (shown["champion"], shown["challenger"], shown["halted"]) == (1, None, None)
    assert officer.run("verify", "--all", "--json").document["verified"] is True


def test_nobody_decides_without_a_role_whatever_the_environment_says(console: Console) -> None:
    """Roles go by the user id of the process: LOGNAME makes nobody an officer."""
    (console.home / "roles.toml").write_text('[roles]\nrisk_officer = ["olga"]\n')
    console.settings["LOGNAME"] = console.settings["USER"] = "olga"
    for command in (
        ("approve", "forecast@1", "--role", "risk_officer"),
        ("reject", "forecast@1"),
        ("retire", "forecast@1"),
        ("halt", "forecast"),
    ):
        answer = console.run(*command, "--reason", "because", code=1)
        assert f"{ME} does not have the role" in answer.sentence


def test_a_decision_on_what_is_no_longer_so_is_refused(officer: Console) -> None:
    officer.run("approve", "forecast@1", "--role", "risk_officer", "--reason", "fine")
    stale = officer.run("promote", "forecast@1", "--incumbent", "7", "--reason", "review", code=1)
    assert "incumbent is version 7, but the champion of forecast is none now" in stale.sentence
    other = officer.run("promote", "forecast@1", "--evidence", "0" * 64, "--reason", "review", code=1)
    assert "evidence is 0000" in other.sentence
    officer.run("promote", "forecast@1", "--incumbent", "none", "--reason", "review")


def test_a_halt_stops_promotions_until_they_are_resumed(officer: Console) -> None:
    officer.run("approve", "forecast@1", "--role", "risk_officer", "--reason", "fine")
    officer.run("halt", "--all", "--reason", "change freeze")
    assert "halted: change freeze" in officer.run("lifecycle", "forecast").out
    refused = officer.run("promote", "forecast@1", "--reason", "review", "--json", code=1).document
    assert "promotions are halted: change freeze" in refused["reasons"]
    officer.run("resume", "--all", "--reason", "freeze is over")
    officer.run("promote", "forecast@1", "--reason", "review")
    officer.run("retire", "forecast@1", "--reason", "replaced")
    assert officer.run("lifecycle", "forecast", "--json").document["champion"] is None


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("promote", "forecast@1", "--incumbent", "two", "--reason", "x"), "--incumbent is 'two'"),
        (("promote", "forecast@1", "--evidence", "abc", "--reason", "x"), "--evidence is 'abc'"),
        (("promote", "forecast@1", "--reason", " "), "reason is ' '"),
        (("halt", "--reason", "x"), "give one of NAME and --all"),
        (("promote", "vendor_vol@1", "--reason", "x"), "evaluate it first"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    officer: Console, command: tuple[str, ...], said: str
) -> None:
    answer = officer.run(*command, code=2)
    assert said in answer.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[roles", "it is not TOML"),
        ("[roles]\nking = ['me']\n", "no such role, use risk_officer, model_validator"),
        ("[roles]\nrisk_officer = 'me'\n", "give a list of names"),
        ("risk_officer = ['me']\n", "write the table [roles]"),
    ],
)
def test_a_wrong_file_of_roles_is_one_sentence(console: Console, content: str, said: str) -> None:
    (console.home / "roles.toml").write_text(content)
    answer = console.run("halt", "--all", "--reason", "x", code=2)
    assert said in answer.sentence
