"""The way around an OCI registry's adapter: change what lies under the keys that other registries have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.servers.oci import OciServer

_PATH = "org.cncf.model.filepath"


@dataclass(frozen=True)
class AroundOci:
    """A repository whose blobs and tags can be changed behind the adapter's back.

    Attributes:
        originals: what honest models hold under `artifact/`, by path; the address of a file that no tag
            names yet follows from its content.
    """

    server: OciServer
    repository: str
    originals: dict[str, bytes]

    def overwrite(self, key: str, content: bytes) -> None:
        """Change the blob where it is stored, or add a layer if the model's package has none by that path."""
        _, model_id, path = key.split("/", 2)
        if path.startswith("attachments/"):
            self._damage(path.removeprefix("attachments/"), content)
            return
        image = self.server.manifest(self.repository, model_id)
        if image is None:
            original = self.originals[path.removeprefix("artifact/")]
            self._damage(self.server.push(self.repository, original), content)
            return
        for layer in image["layers"]:
            if layer["annotations"][_PATH] == path:
                self._damage(layer["digest"].removeprefix("sha256:"), content)
                return
        added = {
            "mediaType": "application/octet-stream",
            "digest": f"sha256:{self.server.push(self.repository, content)}",
            "size": len(content),
            "annotations": {_PATH: path},
        }
        self._retag(model_id, image, [*image["layers"], added])

    def remove(self, key: str) -> None:
        """Take a layer out of the model's package."""
        _, model_id, path = key.split("/", 2)
        image = self.server.manifest(self.repository, model_id)
        assert image is not None
        self._retag(model_id, image, [each for each in image["layers"] if each["annotations"][_PATH] != path])

    def _damage(self, sha256: str, content: bytes) -> None:
        self.server.blob(sha256).write_bytes(content)

    def _retag(self, tag: str, image: dict[str, Any], layers: list[dict[str, Any]]) -> None:
        self.server.tag(self.repository, tag, {**image, "layers": layers})
