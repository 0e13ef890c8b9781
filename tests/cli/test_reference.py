"""docs/cli.md is true: its examples run and print what it shows, its tables name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cli.console import Console, vendor_model
from veritasvault.cli.app import veritas

REFERENCE = Path(__file__).parents[2] / "docs" / "cli.md"
EXAMPLES = re.compile(r"```console\n(.*?)```", re.DOTALL)


def _commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in sorted(group.commands.items()):
        place = f"{path} {name}".strip()
        found += _commands(command, place) if isinstance(command, click.Group) else [(place, command)]
    return found


def _examples() -> list[tuple[str, str]]:
    """Commands with the output that the page shows for them."""
    blocks = EXAMPLES.findall(REFERENCE.read_text())
    return [
        (step.partition("\n")[0], step.partition("\n")[2])
        for block in blocks
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]


def test_the_examples_print_what_the_page_shows(empty: Console) -> None:
    """In order, in one home; `…` stands for what differs from run to run."""
    vendor_model(empty.directory)
    table = re.search(r"```toml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    assert table is not None
    (empty.directory / "model.toml").write_text(table.group(1))
    for command, shown in _examples():
        program, *arguments = shlex.split(command)
        assert program == "veritas"
        answer = empty.run(*arguments, code=None)
        expected = ".*?".join(re.escape(part) for part in shown.split("…"))
        assert re.fullmatch(expected, answer.out + answer.err, re.DOTALL), (command, answer)


def test_the_page_names_every_command_and_no_other() -> None:
    table = REFERENCE.read_text().split("## Exit codes")[0]
    named = set(re.findall(r"^\| `veritas ([a-z -]*[a-z])", table, re.MULTILINE))
    assert named == {path for path, _ in _commands(veritas)}


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*item, id=item[0]) for item in _commands(veritas)]
)
def test_every_command_has_examples_that_parse_and_a_json_option(path: str, command: click.Command) -> None:
    """The examples in help texts are commands that exist, with options that exist."""
    assert command.help
    assert any("--json" in parameter.opts for parameter in command.params)
    examples = re.findall(r"^ *veritas (.*)$", command.help, re.MULTILINE)
    assert any(example.startswith(path) for example in examples)
    for example in examples:
        arguments = shlex.split(example.partition(" > ")[0])
        current: click.Command = veritas
        while isinstance(current, click.Group):
            current = current.commands[arguments.pop(0)]
        current.make_context(path, arguments)


def test_the_keys_of_json_documents_are_those_of_the_page(console: Console) -> None:
    keys = _documented_keys()
    version = set(keys["models list"]) - {"versions"}
    receipt = console.directory / "receipt.json"
    answers: dict[str, tuple[tuple[object, ...], set[str]]] = {
        "models list": (("models", "list"), {"versions"}),
        "models show": (("models", "show", "forecast@1"), version | set(keys["models show"])),
        "models card": (("models", "card", "forecast@1"), version | {"markdown", "empty", "file"}),
        "models retrieve": (("models", "retrieve", "forecast@1", "copy"), version | {"destination"}),
        "models receipt": (("models", "receipt", "forecast@1", receipt), version | {"file"}),
        "register": (
            ("register", "--metadata", "model.json", "--artifact", "model"),
            set(keys["register"]),
        ),
        "verify": (("verify", "--all"), set(keys["verify"]) - {"object", "reason"}),
        "ledger show": (
            ("ledger", "show"),
            set(keys["ledger show"]) - {"index", "leaf_hash", "kind", "at", "event"},
        ),
        "ledger checkpoint": (("ledger", "checkpoint"), set(keys["ledger checkpoint"])),
        "keys list": (("keys", "list"), {"keys"}),
        "policy check": (
            ("policy", "check"),
            set(keys["policy check"]) - {"name", "expected", "found"},
        ),
        "policy bundle": (("policy", "bundle", "policy.tar.gz"), set(keys["policy bundle"])),
        "gc": (("gc", "--grace", "0"), set(keys["gc"]) - {"kind", "name", "size", "age_seconds"}),
        "metrics": (("metrics",), set(keys["metrics"]) - {"name", "labels", "value", "help"}),
        "doctor": (("doctor",), {"healthy", "checks"}),
    }
    for name, (arguments, expected) in answers.items():
        assert set(console.run(*arguments, "--json").document) == expected, name
    document: dict[str, Any] = console.run("verify", "--receipt", receipt, "--json").document
    assert set(document) == answers["verify"][1] | set(keys["verify --receipt"]) - {"verify"}


def _documented_keys() -> dict[str, list[str]]:
    table = REFERENCE.read_text().split("## JSON")[1]
    rows = re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", table, re.MULTILINE)
    return {command: re.findall(r"`([a-z_]+)`", text) for command, text in rows}
