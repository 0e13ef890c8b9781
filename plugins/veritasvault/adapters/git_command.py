"""Runs git so that no hook, identity or setting of the user's changes the outcome, and says why it failed."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from domain.registry.errors import DomainException, IntegrityError, InvalidInput, Unavailable
from domain.registry.redaction import redacted

_SETTINGS = {
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "commit.gpgSign": "false",
    "credential.interactive": "false",
    "fetch.fsckObjects": "true",
    "gc.autoDetach": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "lfs.fetchexclude": "",
    "lfs.fetchinclude": "",
    "lfs.skipdownloaderrors": "false",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
}
"""Stronger than any file. What says how to reach a server, such as proxies and helpers, stays the user's."""
_KEPT = re.compile(r"GIT_(ASKPASS|CONFIG_(GLOBAL|NOSYSTEM|SYSTEM)|HTTP_.*|PROXY_.*|SSH.*|SSL_.*)")
"""Variables of git's that say how to reach a server; others could name another repository or identity."""
_PATIENCE = 3600.0
"""Seconds until a command that makes no progress is given up; git ends slow transfers earlier itself."""

_REFUSED = re.compile(
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled"
    r"|Permission denied|insufficient permission|[Aa]uthorization error|Authentication required"
    r"|returned error: 40[13]|publickey"
)
_NOWHERE = re.compile(
    r"does not appear to be a git repository|not a git repository|[Rr]epository .*(not found|does not exist)"
)
_FOREIGN = re.compile(r"dubious ownership")
_DAMAGED = re.compile(
    r"corrupt|bad object|missing (blob|tree|commit)|inflate|unable to (read|unpack)"
    r"|did not send all necessary objects|fsck error|hash mismatch|is empty"
)
_NO_LFS = re.compile(r"'lfs' is not a git command")


class GitFailed(Exception):
    """A git command that ended with an error.

    Attributes:
        text: what it wrote to standard error; git's own settings may put a login into an address.
    """

    def __init__(self, text: str) -> None:
        self.text = redacted(text)
        super().__init__(self.text)

    @property
    def sentence(self) -> str:
        """The line that says most."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("fatal:", "error:", "remote: error:", "batch"))]
        return (told or lines or ["git gave no reason"])[0]


@dataclass(frozen=True, slots=True)
class Git:
    """git in a bare repository.

    Attributes:
        local: the remote is a directory. Git then runs its side here too, under the user's settings, which
            are needed for nothing: none is read.
    """

    directory: Path
    local: bool

    def run(self, *arguments: str, given: bytes = b"", discard: bool = False) -> bytes:
        """Run a command with `given` as its standard input; its standard output, or nothing to `discard` it.

        Raises:
            GitFailed: it ended with an error.
            InvalidInput: git is not installed.
            Unavailable: it made no progress.
        """
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        try:
            done = subprocess.run(
                ["git", *settings, *arguments],
                input=given,
                stdout=subprocess.DEVNULL if discard else subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.directory,
                env=self._environment(),
                # Without a terminal, nothing can ask for a password.
                start_new_session=True,
                timeout=_PATIENCE,
                check=False,
            )
        except FileNotFoundError as error:
            if not self.directory.is_dir():
                raise Unavailable(f"{self.directory} is gone: run it again") from error
            raise InvalidInput("git", None, "install git and git-lfs") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git {arguments[0]} made no progress: run it again later") from error
        except OSError as error:
            raise Unavailable(f"git cannot be run ({error.strerror}): run it again later") from error
        if done.returncode != 0:
            raise GitFailed(done.stderr.decode(errors="replace"))
        return done.stdout or b""

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or _KEPT.fullmatch(name)
        }
        if self.local:
            kept["GIT_CONFIG_GLOBAL"] = os.devnull
        return {
            **kept,
            "GIT_DIR": str(self.directory),
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }


def translated(error: GitFailed, doing: str, url: str) -> DomainException:
    """What a failed command means; `doing` says what for, `url` which repository it was about."""
    text = error.text
    if _NO_LFS.search(text):
        return InvalidInput("git", "without lfs", "install git-lfs")
    if _FOREIGN.search(text):
        return InvalidInput(
            "repository", url, "it is another user's, add it to safe.directory of git's system settings"
        )
    if _REFUSED.search(text):
        return InvalidInput(
            "git credentials", url, f"it refused {doing}, give git a credential helper or key that may do it"
        )
    if _DAMAGED.search(text):
        return IntegrityError(f"{doing} failed, {url} is damaged, restore it from a backup: {error.sentence}")
    if _NOWHERE.search(text):
        return InvalidInput("repository", url, "there is no such git repository, make it or correct the URL")
    return Unavailable(f"{doing} in {url} failed, run it again later: {error.sentence}")


def make_bare(directory: Path, url: str) -> Git:
    """A bare repository in a directory, made if missing, whose remote `origin` is the URL.

    Written by hand, which `gitrepository-layout(5)` allows, so that no template of the user's gets in.
    """
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    for name in ("objects", "refs"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        f'[remote "origin"]\n\turl = "{quoted}"\n'
        # A setting on the command line would also move the storage of a remote that is a directory.
        "[lfs]\n\tstorage = lfs\n"
    )
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    return bare(directory, url)


def bare(directory: Path, url: str) -> Git:
    """The bare repository in a directory that `make_bare` made for the URL."""
    return Git(directory, local=url.startswith("file:"))
