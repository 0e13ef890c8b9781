"""The project's own code, as it is sent to workers that have only what it is made of."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from domain.registry.canonical import digest


def own_code() -> tuple[Path, ...]:
    """The directories of this project's packages."""
    import domain
    import veritasvault

    return tuple(Path(next(iter(package.__path__))) for package in (domain, veritasvault))


@contextmanager
def code_archive() -> Iterator[Path]:
    """A zip from which Python can import them, as long as the context lasts; its name follows from its bytes.

    So a worker that has imported the same code once imports nothing else when it is sent again.
    """
    content = _zipped()
    with TemporaryDirectory(prefix="veritas-code-") as place:
        archive = Path(place) / f"veritas-{digest(content)[:16]}.zip"
        archive.write_bytes(content)
        yield archive


def _zipped() -> bytes:
    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for package in own_code():
            for file in sorted(package.rglob("*.py")):
                # Without the time of the file, which says nothing of its content.
                name = ZipInfo((Path(package.name) / file.relative_to(package)).as_posix())
                archive.writestr(name, file.read_bytes(), ZIP_DEFLATED)
    return written.getvalue()
