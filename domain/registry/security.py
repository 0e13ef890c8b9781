"""The facade over everything that decides whether an artifact may come in."""

from __future__ import annotations

from domain.registry.artifact import StagedArtifact
from domain.registry.errors import UnsafeArtifact
from domain.registry.ports import ArtifactScannerPort


class SecurityService:
    """Lets only artifacts of allowed formats pass."""

    def __init__(self, scanner: ArtifactScannerPort) -> None:
        self._scanner = scanner

    def require_safe(self, artifact: StagedArtifact) -> None:
        """Scan every file.

        Raises:
            UnsafeArtifact: naming the first refused file, the reason and what to do.
        """
        findings = self._scanner.scan(artifact)
        if findings:
            first = findings[0]
            more = f" ({len(findings) - 1} more files are refused)" if len(findings) > 1 else ""
            raise UnsafeArtifact("artifact", first.path, f"{first.reason}; {first.remedy}{more}")
