"""Tokens are believed if the issuer signed them, for us, and now; others are refused in a sentence."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput, Unavailable
from tests.servers.oidc import Provider, provider
from veritasvault.adapters.oidc_tokens import OidcTokens
from veritasvault.oidc_issuer import OidcIssuer


def tokens(oidc: Provider, **settings: Any) -> OidcTokens:
    return OidcTokens(OidcIssuer(oidc.url, **settings), "token")


def refusal(verifier: OidcTokens, token: str) -> str:
    """The sentence of the refusal, in which nothing of the token stands."""
    with pytest.raises(InvalidInput) as refused:
        verifier.subject(token, "the file")
    chain = f"{refused.value} {refused.value.__cause__} {vars(refused.value)}"
    assert not any(part in chain for part in token.split(".") if len(part) > 8)
    assert str(refused.value).startswith("token is 'the file': ")
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_subject_of_a_token_is_who_commands(oidc: Provider, algorithm: str) -> None:
    token = oidc.token(key=oidc.new_key(algorithm))
    assert tokens(oidc).subject(token, "-") == "8f3e"


def test_another_claim_can_name_the_person(oidc: Provider) -> None:
    token = oidc.token(preferred_username="alice", email="a@example.com", email_verified=True)
    assert tokens(oidc, claim="preferred_username").subject(token, "-") == "alice"
    assert tokens(oidc, claim="email").subject(token, "-") == "a@example.com"
    assert "no claim preferred_username" in refusal(tokens(oidc, claim="preferred_username"), oidc.token())
    unverified = oidc.token(email="ceo@example.com", email_verified=False)
    assert "email is not verified" in refusal(tokens(oidc, claim="email"), unverified)
    assert "unusable" in refusal(
        tokens(oidc, claim="preferred_username"), oidc.token(preferred_username="a\nb")
    )


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1_700_000_000}, "it expired at 2023-11-14 22:13:20Z, get a new one"),
        ({"exp": None}, "it has no claim exp"),
        ({"nbf": int(time.time()) + 3600}, "it is not valid yet"),
        ({"iss": "https://other.example"}, "get one from there"),
        ({"iss": None}, "it has no claim iss"),
        ({"aud": "another-service"}, "it is not for veritas"),
        ({"aud": None}, "it has no claim aud"),
        ({"sub": None}, "it has no claim sub"),
        ({"sub": ""}, "it has no claim sub, or an unusable one"),
        ({"exp": "soon"}, "it does not hold"),
    ],
)
def test_a_token_of_another_time_issuer_or_audience_is_refused(
    oidc: Provider, claims: dict[str, Any], said: str
) -> None:
    assert said in refusal(tokens(oidc), oidc.token(**claims))


def test_clocks_may_differ_a_little(oidc: Provider) -> None:
    assert tokens(oidc).subject(oidc.token(exp=int(time.time()) - 10), "-") == "8f3e"
    assert "it expired" in refusal(tokens(oidc), oidc.token(exp=int(time.time()) - 60))


def test_a_key_of_somebody_else_signs_nothing(oidc: Provider) -> None:
    """Neither under its own name nor under that of a key of the issuer's."""
    with provider() as stranger:
        own = stranger.token(iss=oidc.url)
        borrowed = stranger.token(iss=oidc.url, headers={"kid": next(iter(oidc.keys))})
    assert "no key that signed it" in refusal(tokens(oidc), own)
    assert "InvalidSignatureError" in refusal(tokens(oidc), borrowed)


def test_a_token_is_never_signed_by_nobody_or_by_the_verifier_itself(oidc: Provider) -> None:
    """`none`, and HS256 with the public key as the secret."""
    name = oidc.new_key("RS256")
    content = oidc.token(key=name).split(".")[1]
    public = json.dumps(oidc.documents()["/keys"]["keys"][-1]).encode()

    def encoded(document: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    unsigned = f"{encoded({'alg': 'none', 'kid': name})}.{content}."
    head = f"{encoded({'alg': 'HS256', 'kid': name})}.{content}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, head.encode(), "sha256")).rstrip(b"=").decode()
    for token in (unsigned, f"{head}.{mac}"):
        assert "it is not signed with one of RS256, ES256, EdDSA" in refusal(tokens(oidc), token)


def test_the_algorithm_is_the_keys_and_not_the_tokens(oidc: Provider) -> None:
    """A header that says RS256 over an EC key's signature."""
    head, content, signature = oidc.token().split(".")
    changed = {**json.loads(base64.urlsafe_b64decode(head + "==")), "alg": "RS256"}
    head = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    assert "it does not hold" in refusal(tokens(oidc), f"{head}.{content}.{signature}")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_token_is_refused(oidc: Provider, part: int) -> None:
    parts = oidc.token(subject="8f3e", name="x" * 64).split(".")
    middle = len(parts[part]) // 2
    flipped = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + flipped + parts[part][middle + 1 :]
    refusal(tokens(oidc), ".".join(parts))


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "{}", "e30.e30.e30"])
def test_what_is_no_token_is_refused(oidc: Provider, token: str) -> None:
    assert "get one from" in refusal(tokens(oidc), token) or "not signed" in refusal(tokens(oidc), token)


def test_a_rotated_key_is_looked_for_once(oidc: Provider) -> None:
    """Keys are kept; one that is unknown is asked for again, and an invented one no more than that."""
    verifier = tokens(oidc)
    for _ in range(2):
        verifier.subject(oidc.token(), "-")
    assert oidc.requests == ["/.well-known/openid-configuration", "/keys"]
    oidc.keys.clear()
    oidc.new_key()
    assert verifier.subject(oidc.token(), "-") == "8f3e"
    assert oidc.requests.count("/keys") == 2
    refusal(verifier, oidc.token(headers={"kid": "invented"}))
    assert oidc.requests.count("/keys") == 3


def test_a_token_without_a_key_name_needs_an_issuer_with_one_key(oidc: Provider) -> None:
    assert tokens(oidc).subject(oidc.token(headers={"kid": None}), "-") == "8f3e"
    oidc.new_key()
    assert "no key that signed it" in refusal(tokens(oidc), oidc.token(headers={"kid": None}))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider with TLS, whose certificate only those trust who are told to."""
    with provider(tmp_path_factory.mktemp("tls")) as running:
        yield running


def test_the_keys_come_over_tls_from_whom_the_settings_trust(secure: Provider) -> None:
    trusting = tokens(secure, authority=secure.authority)
    assert trusting.subject(secure.token(), "-") == "8f3e"
    with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED.*VERITAS_OIDC_CA"):
        tokens(secure).subject(secure.token(), "-")
    with pytest.raises(InvalidInput, match="VERITAS_OIDC_CA"):
        tokens(secure, authority=Path("/no/such.pem")).subject(secure.token(), "-")


def test_the_place_of_the_keys_can_be_set(oidc: Provider) -> None:
    assert tokens(oidc, jwks=f"{oidc.url}/keys").subject(oidc.token(), "-") == "8f3e"
    assert oidc.requests == ["/keys"]


@pytest.mark.parametrize(
    ("document", "raised", "said"),
    [
        (
            {"issuer": "https://other.example"},
            InvalidInput,
            "the provider calls itself https://other.example",
        ),
        ({"jwks_uri": "http://keys.example/k"}, InvalidInput, "give https://"),
        ({"jwks_uri": None}, InvalidInput, "give https://"),
    ],
)
def test_discovery_that_leads_elsewhere_is_refused(
    oidc: Provider, document: dict[str, Any], raised: type[Exception], said: str
) -> None:
    place = "/.well-known/openid-configuration"
    oidc.answers[place] = (200, json.dumps({**oidc.documents()[place], **document}))
    with pytest.raises(raised, match=said):
        tokens(oidc).subject(oidc.token(), "-")


@pytest.mark.parametrize("answer", [(500, "broken"), (200, "[1]"), (200, "<html>")])
def test_an_issuer_without_keys_is_tried_again_later(oidc: Provider, answer: tuple[int, str]) -> None:
    oidc.answers["/keys"] = answer
    with pytest.raises(Unavailable):
        tokens(oidc).subject(oidc.token(), "-")


def test_a_redirect_to_keys_is_not_followed(oidc: Provider) -> None:
    """It could lead to where anybody can answer."""
    oidc.answers["/elsewhere"] = (200, json.dumps(oidc.documents()["/keys"]))
    oidc.answers["/keys"] = (302, f"{oidc.url}/elsewhere")
    with pytest.raises(Unavailable):
        tokens(oidc).subject(oidc.token(), "-")
    assert "/elsewhere" not in oidc.requests


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example",
        "ftp://idp.example",
        "https://u:p@idp.example",
        "https://idp.example?x=1",
        "idp",
        "https://",
    ],
)
def test_an_issuer_that_anybody_could_answer_for_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"VERITAS_OIDC_ISSUER.*give https://host"):
        OidcIssuer(url)


def test_a_claim_that_names_nobody_is_refused() -> None:
    with pytest.raises(InvalidInput, match="VERITAS_OIDC_CLAIM is 'name': use one of sub"):
        OidcIssuer("https://idp.example", claim="name")
