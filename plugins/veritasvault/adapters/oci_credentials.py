"""Finds user and password for an OCI registry where docker and oras do: in the docker configuration."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.registry.errors import InvalidInput, Unavailable

_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_PATIENCE = 60.0
_DOCKER_HUB = ("registry-1.docker.io", "https://index.docker.io/v1/")
"""Docker Hub's host, and the name that docker keeps its credentials under."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password or token; neither is ever shown."""

    user: str = field(repr=False)
    password: str = field(repr=False)


def find_credentials(host: str) -> Credentials | None:
    """What `docker login` keeps for a host, itself or in a credential helper; None without a login.

    The file is `config.json` in the directory that the variable DOCKER_CONFIG names, or in `~/.docker`;
    the Docker command line's reference describes it ("docker login", credential stores).

    Args:
        host: name and, if it is not the scheme's own, port.

    Raises:
        InvalidInput: the file cannot be read, or the helper it names cannot be run.
        Unavailable: the helper does not answer.
    """
    file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    config = _read(file)
    names = (host, f"https://{host}", _DOCKER_HUB[1]) if host == _DOCKER_HUB[0] else (host, f"https://{host}")
    for name in names:
        helper = _section(config, "credHelpers").get(name) or config.get("credsStore")
        if helper:
            found = _ask(helper, name, file)
            if found is not None:
                return found
        kept = _section(config, "auths").get(name)
        if isinstance(kept, dict) and kept.get("auth"):
            return _decoded(kept["auth"], name, file)
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidInput("docker configuration", str(file), f"let it be read ({error.strerror})") from error
    except ValueError as error:
        # The parser's message would quote what may be a password.
        raise InvalidInput("docker configuration", str(file), "mend it, it is not JSON") from error
    if not isinstance(config, dict):
        raise InvalidInput("docker configuration", str(file), "mend it, it is not a JSON object")
    return config


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _decoded(auth: object, name: str, file: Path) -> Credentials:
    try:
        user, separator, password = base64.b64decode(str(auth), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        separator = ""
    if not separator:
        raise InvalidInput("docker configuration", str(file), f"log in to {name} again, its entry is broken")
    return Credentials(user, password)


def _ask(helper: object, name: str, file: Path) -> Credentials | None:
    """Ask a credential helper by its protocol: the server's name goes in, JSON comes out."""
    program = f"docker-credential-{helper}"
    if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
        raise InvalidInput("docker configuration", str(file), "correct the name of its credential helper")
    try:
        asked = subprocess.run(
            [program, "get"], input=name.encode(), capture_output=True, timeout=_PATIENCE, check=False
        )
    except OSError as error:
        raise InvalidInput(
            "docker configuration", str(file), f"it names {program}, install that ({error.strerror})"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{program} did not answer in {_PATIENCE:.0f} s: run it again later") from error
    if asked.returncode != 0:
        return None  # it knows no login for this server
    try:
        answer = json.loads(asked.stdout)
        return Credentials(str(answer["Username"]), str(answer["Secret"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{program} gave no user and password for {name}: log in again") from error
