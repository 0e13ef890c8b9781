"""Lists of requirements: packages and their versions, and nothing that pip would build or obey."""

from __future__ import annotations

import re
from typing import IO

from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.text_format import check_text

NAME = re.compile(r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.txt", re.IGNORECASE)
"""How such lists are called; other texts are no matter of pip's."""
_LARGEST = 1 << 20
# A name, extras, versions, a marker and hashes (PEP 508 and pip's requirements file format), but no address.
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w.,\s-]*\])?\s*([<>=!~][=<>!~\w.*+,\s-]*)?(;[^@]*)?"
    r"(\s--hash=[a-z0-9]+:[0-9a-f]+)*",
    re.ASCII,
)
# pip takes a name that ends so for a file of the directory it runs in.
_ARCHIVE = re.compile(r"[^\s;\[<>=!~]*\.(whl|zip|tar|tgz|tbz|txz|tlz|gz|bz2|xz|lzma)\b", re.IGNORECASE)
_REMEDY = "name packages and their versions only"
_COMMENT = re.compile(r"(^|\s+)#.*$")


def check(file: IO[bytes], size: int) -> None:
    """Refuse paths, addresses and options: pip runs the build scripts of whatever they name."""
    if size > _LARGEST:
        raise Refused(f"it is a list of requirements of {size} bytes", _REMEDY)
    check_text(file, size)
    file.seek(0)
    for line in file.read().decode("utf-8").replace("\\\n", " ").splitlines():
        entry = _COMMENT.sub("", line).strip()
        if entry and (not _REQUIREMENT.fullmatch(entry) or _ARCHIVE.match(entry)):
            raise Refused(
                f"pip reads it, and {entry[:80]!r} is no package with a version", "name packages only"
            )
