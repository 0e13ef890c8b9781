"""Each command gives its answer, for people and as JSON, on a real registry and ledger."""

from __future__ import annotations

import json

import pytest

from tests.cli.console import METADATA, Console


def test_an_empty_home_lists_nothing_and_that_is_good(empty: Console) -> None:
    assert empty.run("models", "list").out == "Nothing is registered yet.\n"
    assert empty.run("models", "list", "--json").document == {"versions": []}


def test_list_gives_the_newest_first_and_narrows_by_name_and_limit(console: Console) -> None:
    listed = console.run("models", "list", "--json").document["versions"]
    assert [row["reference"] for row in listed] == ["vendor_vol@1", "forecast@1"]
    assert set(listed[0]) == {
        "reference", "name", "version", "model_id", "recipe", "as_of", "artifact_digest", "index"
    }  # fmt: skip
    of_name = console.run("models", "list", "forecast", "--json").document["versions"]
    assert [row["as_of"] for row in of_name] == ["2022-06-30"]
    assert len(console.run("models", "list", "--limit", 1, "--json").document["versions"]) == 1
    lines = console.run("models", "list").out.splitlines()
    assert lines[0].split() == ["version", "as", "of", "model", "id", "ledger", "entry"]
    assert lines[1].split() == ["vendor_vol@1", "-", listed[0]["model_id"], "4"]


def test_show_gives_everything_known_of_a_version(console: Console) -> None:
    shown = console.run("models", "show", "forecast@1", "--json").document
    assert shown["metadata"] == {**METADATA, "name": "forecast"}
    assert shown["lineage"]["parameters"] == {"trainer": "ridge", "alpha": 1.0}
    assert [gate["outcome"] for gate in shown["gates"]] == ["passed"] * 4
    assert shown["gates"][0]["figures"] == {"qlike": 0.544, "ewma": 0.586, "limit": 0.586 * 0.98}
    assert [kept["name"] for kept in shown["attachments"]] == [
        "calibration.svg", "evidence.json", "model.sig"
    ]  # fmt: skip
    key = console.run("keys", "list", "--json").document["keys"][0]["fingerprint"]
    assert shown["provenance"] == {"actor": "tester", "run": "manual__1", "signing_key": key}
    assert (shown["index"], shown["signed"]) == (2, True)
    text = console.run("models", "show", "forecast@latest").out
    for expected in (
        shown["model_id"], "2022-06-30", "2 (medium)", "qlike 0.544", "ewma 0.586", "weights.json",
        "manual__1", "2 (signed)", "calibration.svg",
    ):  # fmt: skip
        assert expected in text


def test_a_model_id_names_the_same_version_as_its_number(console: Console) -> None:
    by_number = console.run("models", "show", "vendor_vol@1", "--json").document
    assert console.run("models", "show", by_number["model_id"], "--json").document == by_number
    assert by_number["provenance"]["reason"] == "release 7"


def test_retrieve_writes_the_registered_files(console: Console) -> None:
    console.run("models", "retrieve", "vendor_vol@1", "copy")
    original = console.directory / "model"
    copied = console.directory / "copy"
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == {
        path.name: path.read_bytes() for path in original.iterdir()
    }
    answer = console.run("models", "retrieve", "vendor_vol@latest", "again", "--json").document
    assert answer["destination"] == str(console.directory / "again")


def test_registering_the_same_model_again_is_recognised_and_adds_nothing(console: Console) -> None:
    command = ("register", "--metadata", "model.json", "--artifact", "model")
    assert "nothing was registered twice" in console.run(*command).out
    again = console.run(*command, "--json").document
    assert (again["outcome"], again["reference"], again["index"]) == ("recognised", "vendor_vol@1", 4)
    assert console.run("ledger", "show", "--json").document["size"] == 5


def test_a_new_artifact_is_the_next_version_with_unevaluated_gates(console: Console) -> None:
    (console.directory / "model" / "config.json").write_text('{"alpha": 2}\n')
    toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in METADATA.items())
    (console.directory / "model.toml").write_text(toml)
    made = console.run("register", "--metadata", "model.toml", "--artifact", "model", "--json").document
    assert (made["outcome"], made["reference"], made["index"]) == ("registered", "vendor_vol@2", 5)
    assert [gate["outcome"] for gate in made["gates"]] == ["unevaluated"]
    assert "unevaluated" in console.run("models", "show", "vendor_vol@2").out


def test_verify_answers_for_everything_one_version_and_a_receipt(console: Console) -> None:
    everything = console.run("verify", "--all", "--json").document
    assert everything == {
        "what": "everything", "verified": True, "problems": [], "versions": 2, "entries": 5, "pending": 0,
        "unlisted": [], "witnessed": 0,
    }  # fmt: skip
    assert console.run("verify", "--all").out == "verified everything: 2 versions, 5 ledger entries\n"
    assert console.run("verify", "forecast@1").out == "verified forecast@1: 1 version, 1 ledger entry\n"
    console.run("models", "receipt", "forecast@1", "receipt.json")
    proven = console.run("verify", "--receipt", "receipt.json", "--json").document
    assert proven["verified"]
    assert (proven["reference"], proven["index"], proven["checkpoint_size"]) == ("forecast@1", 2, 5)
    assert "the ledger continues its checkpoint" in console.run("verify", "--receipt", "receipt.json").out


def test_a_receipt_is_verified_with_a_public_key_and_nothing_else(console: Console) -> None:
    receipt = console.directory / "receipt.json"
    receipt.write_text(console.run("models", "receipt", "vendor_vol@1").out)
    keys = console.run("ledger", "checkpoint", "--json").document["keys"]
    nowhere = Console(console.directory / "nowhere", console.directory)
    proven = nowhere.run("verify", "--receipt", receipt, "--key", keys[0], "--json").document
    assert (proven["verified"], proven["reference"]) == (True, "vendor_vol@1")
    assert "no ledger was looked at" in nowhere.run("verify", "--receipt", receipt, "--key", keys[0]).out
    assert not nowhere.home.exists()


def test_ledger_show_gives_what_happened_with_refusals_and_their_gates(console: Console) -> None:
    shown = console.run("ledger", "show", "--json").document
    assert [entry["kind"] for entry in shown["entries"]] == [
        "KeyIntroduced", "KeyIntroduced", "ModelRegistered", "RegistrationRefused", "ModelRegistered"
    ]  # fmt: skip
    assert (shown["size"], shown["signed"], shown["pending"]) == (5, 5, 0)
    assert "forecast: qlike better than ewma" in console.run("ledger", "show").out
    some = console.run("ledger", "show", "--from", 1, "--limit", 1, "--json").document["entries"]
    assert [entry["index"] for entry in some] == [1]
    newest = console.run("ledger", "show", "--limit", 1, "--json").document["entries"]
    assert [entry["index"] for entry in newest] == [4]


def test_checkpoint_prints_the_signed_note_and_signing_again_changes_nothing(console: Console) -> None:
    note = console.run("ledger", "checkpoint").out
    document = console.run("ledger", "checkpoint", "--json").document
    assert document["note"] == note
    assert note.splitlines()[:2] == [document["origin"], "5"]
    assert document["size"] == 5


def test_the_version_is_the_packages(empty: Console) -> None:
    assert empty.run("--version").out == "veritas 0.1.0\n"
    assert not empty.home.exists()


@pytest.mark.parametrize(
    "command", [("models", "list"), ("ledger", "show"), ("verify", "--all"), ("doctor",)], ids=" ".join
)
def test_looking_at_a_place_where_nothing_is_makes_nothing(empty: Console, command: tuple[str, ...]) -> None:
    """A mistyped home is not filled with an empty registry, and a read-only one can be looked at."""
    answer = empty.run(*command)
    assert answer.code in (0, 1)
    assert not empty.home.exists()
