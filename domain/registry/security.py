"""The facade over everything that decides whether an artifact may come in, and vouches for it then."""

from __future__ import annotations

from domain.registry.artifact import StagedArtifact
from domain.registry.errors import UnsafeArtifact
from domain.registry.manifest import Manifest
from domain.registry.ports import ArtifactScannerPort, PublicKey, SignerPort
from domain.registry.signing.model_signature import ModelSignature, sign_model


class SecurityService:
    """Lets only artifacts of allowed formats pass, and signs them."""

    def __init__(self, scanner: ArtifactScannerPort, signer: SignerPort) -> None:
        """`signer` has the key for artifacts, ECDSA P-256."""
        self._scanner = scanner
        self._signer = signer

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

    def artifact_key(self) -> PublicKey:
        """The key that `sign` signs with. Raises Unavailable."""
        return self._signer.public_keys()[0]

    def sign(self, manifest: Manifest, *, as_file: bool) -> ModelSignature:
        """Sign the digests that a manifest lists.

        Args:
            as_file: the model is one file, and not a directory that holds it.

        Raises:
            InvalidInput: the key is of an algorithm that model signatures do not take.
            Unavailable: the signer cannot be used now.
        """
        return sign_model(manifest, self._signer, as_file=as_file)
