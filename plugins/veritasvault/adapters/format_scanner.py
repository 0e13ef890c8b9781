"""The allow-list of formats: the extension chooses a strict parser, which must account for every byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from domain.registry.artifact import ArtifactFile, StagedArtifact
from domain.registry.ports import Finding
from domain.registry.staging import unavailable
from veritasvault.adapters.formats import (
    external_data,
    file_names,
    numpy_format,
    onnx_format,
    parquet_format,
    png_format,
    requirements_format,
    safetensors_format,
    saved_model_format,
    skops_format,
    tensor_bundle,
    text_format,
)
from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.polyglot import refuse_polyglot

_PARSERS: dict[str, Callable[[IO[bytes], int], None]] = {
    ".csv": text_format.check_text,
    ".json": text_format.check_json,
    ".md": text_format.check_text,
    ".npy": numpy_format.check,
    ".parquet": parquet_format.check,
    ".png": png_format.check,
    ".safetensors": safetensors_format.check,
    ".skops": skops_format.check,
    ".toml": text_format.check_toml,
    ".txt": text_format.check_text,
}
_ONNX = ".onnx"
_SAVED_MODEL: dict[str, Callable[[IO[bytes], int], None]] = {
    saved_model_format.GRAPH: saved_model_format.check,
    saved_model_format.FINGERPRINT: saved_model_format.check_fingerprint,
}
_ALLOWED = f"{', '.join(sorted((*_PARSERS, _ONNX)))} or a SavedModel"


class FormatScanner:
    """An `ArtifactScannerPort` that admits ONNX, SavedModel, skops, safetensors and data, and nothing else.

    No file is loaded or executed. Large tensors and arrays are not read: where the header accounts for
    every byte, their content cannot be anything but numbers.
    """

    def scan(self, artifact: StagedArtifact) -> tuple[Finding, ...]:
        scan = _Scan(artifact)
        files = artifact.artifact.files
        external = [file for file in files if _is_external(file)]
        for file in files:
            if file not in external:
                scan.guarded(file, scan.check)
        # Only the models say what these bytes are, so they come last.
        for file in external:
            scan.guarded(file, scan.check_external)
        scan.find_missing({file.path for file in external})
        return tuple(sorted(scan.findings, key=lambda finding: finding.path))


@dataclass
class _Scan:
    artifact: StagedArtifact
    findings: list[Finding] = field(default_factory=list)
    spans: dict[str, list[external_data.Span]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def guarded(self, file: ArtifactFile, check: Callable[[IO[bytes], ArtifactFile], None]) -> None:
        """Run a parser; whatever it trips over is a finding, so that a bug refuses and never admits."""
        try:
            with (self.artifact.root / file.path).open("rb") as content:
                check(content, file)
        except Refused as refused:
            self.findings.append(Finding(file.path, refused.reason, refused.remedy))
        except OSError as error:
            raise unavailable(error, f"scanning {file.path}") from error
        except Exception as error:
            reason = f"it cannot be parsed ({type(error).__name__}: {error})"
            self.findings.append(Finding(file.path, reason, "write it again with the library of its format"))

    def check(self, content: IO[bytes], file: ArtifactFile) -> None:
        file_names.refuse_name(file.path)
        name, suffix = PurePosixPath(file.path).name, _suffix(file)
        if name in (saved_model_format.FINGERPRINT, tensor_bundle.INDEX):
            self.require_graph(file)
        if suffix == _ONNX:
            self.claim(file, onnx_format.check(content, file.size, file.path))
        elif name == tensor_bundle.INDEX:
            self.claim(file, tensor_bundle.check(content, file.size, file.path))
        elif requirements_format.NAME.fullmatch(name):
            requirements_format.check(content, file.size)
        elif parser := _SAVED_MODEL.get(name) or _PARSERS.get(suffix):
            parser(content, file.size)
        else:
            raise Refused(f"{suffix or 'no extension'!r} is not an allowed format", f"use one of {_ALLOWED}")
        # A skops file is a zip archive by right.
        if suffix != ".skops":
            refuse_polyglot(content, file.size)

    def claim(self, file: ArtifactFile, spans: list[external_data.Span]) -> None:
        """Keep which bytes of other files a model says are its tensors."""
        for span in spans:
            self.spans.setdefault(span.path, []).append(span)
            self.users.setdefault(span.path, file.path)

    def require_graph(self, file: ArtifactFile) -> None:
        """Refuse a part of a SavedModel without the graph that it belongs to."""
        graph = saved_model_format.home(file.path)
        if all(other.path != graph for other in self.artifact.artifact.files):
            raise Refused("no saved_model.pb of the artifact has it as a part", "remove it, or add its model")

    def check_external(self, content: IO[bytes], file: ArtifactFile) -> None:
        file_names.refuse_name(file.path)
        spans = self.spans.get(file.path)
        if spans is None:
            if any(_is_model(finding.path) for finding in self.findings):
                return  # the refused model may be the one that has it
            raise Refused("no model of the artifact refers to it", "remove it, or add its model")
        external_data.check(content, file.size, spans)
        refuse_polyglot(content, file.size)

    def find_missing(self, present: set[str]) -> None:
        for path in sorted(self.spans.keys() - present):
            reason = f"its external data {path!r} is not in the artifact"
            self.findings.append(Finding(self.users[path], reason, "put it beside the model"))


def _suffix(file: ArtifactFile) -> str:
    return PurePosixPath(file.path).suffix.lower()


def _is_model(path: str) -> bool:
    """Whether a file says where tensors lie in others."""
    return path.endswith((_ONNX, tensor_bundle.INDEX))


def _is_external(file: ArtifactFile) -> bool:
    name = PurePosixPath(file.path).name
    return _suffix(file) in onnx_format.EXTERNAL_SUFFIXES or tensor_bundle.DATA.fullmatch(name) is not None
