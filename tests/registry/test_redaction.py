"""What is shown of an address: never a password, a token or a signature, and all that helps to mend it."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.redaction import has_login, redacted, shown_address

SCHEMES = ("https", "s3", "oci", "git+https", "mlflow+https", "postgresql+psycopg2", "ssh", "tls", "sc")
# A password as people type it: with what should have been escaped, but without white space.
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6).filter(
    lambda text: "SECRET" not in text
)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://quant:pw@host:1/a?b=c", "https://***@host:1/a?b=***"),
        ("https://token@host/a", "https://***@host/a"),
        ("postgresql://u:p/w@x#y@h:5/d?sslmode=require&password=z", "postgresql://u:***@h:5/d?sslmode=require&password=***"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("git+ssh://git@host/m", "git+ssh://git@host/m"),
        ("git+ssh://git:pw@host/m", "git+ssh://git:***@host/m"),
        ("sc://host:15002/;token=abc;user_id=me", "sc://host:15002/;token=***;user_id=me"),
        ("vault://host/transit?checkpoint=a&artifact=b", "vault://host/transit?checkpoint=a&artifact=b"),
        ("oci://host/models?insecure=1#x", "oci://host/models?insecure=1#***"),
        ("https://host/a?bare", "https://host/a?***"),
        ("postgresql://quant:pw/ledger", "postgresql://quant:***/ledger"),
        ("spark://[::1]:7077", "spark://[::1]:7077"),
        ("https://tok/en@host/a", "https://***@host/a"),
        ("s3://bucket/key@2x.csv", "s3://bucket/key@2x.csv"),
        ("file:///home/m@x/models", "file:///home/m@x/models"),
        ("user:pw@host/m", "***@host/m"),
        ("volatility_forecast@3", "volatility_forecast@3"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_address_keeps_what_helps(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@given(st.sampled_from(SCHEMES), PASSWORDS, st.sampled_from(["{}", "error at {}.", "'{}' (see {})", "{}: x"]))
def test_no_password_is_shown_however_it_was_typed(scheme: str, password: str, sentence: str) -> None:
    address = f"{scheme}://user:SECRET{password}@host/path"
    assert has_login(address)
    assert "SECRET" not in shown_address(address)
    assert "SECRET" not in redacted(sentence.format(address, address))
    assert "host/path" in redacted(address)


@given(st.sampled_from(SCHEMES), st.from_regex(r"[A-Za-z][A-Za-z-]{2,20}", fullmatch=True))
def test_no_option_that_is_not_known_to_be_harmless_is_shown(scheme: str, name: str) -> None:
    """Servers call their signatures what they like."""
    assume(shown_address(f"x://h?{name}=1") != f"x://h?{name}=1")
    for address in (f"{scheme}://h/p?a=1&{name}=SECRET", f"{scheme}://h/p;{name}=SECRET"):
        assert "SECRET" not in shown_address(address)
        assert "SECRET" not in redacted(f"reading ({address}) failed")


def test_a_sentence_without_secrets_stays_as_it_is() -> None:
    sentence = "MLflow at http://127.0.0.1:5000 cannot be reached, is it running? (see s3://b/k, x=1)"
    assert redacted(sentence) == sentence


def test_what_is_assigned_to_a_name_of_a_secret_is_hidden() -> None:
    text = redacted("host=h password=pw1 VERITAS_S3_SECRET_KEY=pw2 my-token = pw3 seed=4")
    assert text == "host=h password=*** VERITAS_S3_SECRET_KEY=*** my-token = *** seed=4"


def test_errors_hold_no_secret_of_an_address_in_any_part() -> None:
    error = InvalidInput("X", "https://u:SECRET@h", "not https://u:SECRET@h?sig=SECRET, but another")
    for kept in (error, pickle.loads(pickle.dumps(error)), Unavailable("s3://k:SECRET@b failed")):
        assert "SECRET" not in f"{kept} {kept.args} {vars(kept)}"
