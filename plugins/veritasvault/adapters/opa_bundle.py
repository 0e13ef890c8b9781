"""Makes the bundle that an OPA server loads: the rules, and the list of what they are.

The format is OPA's (https://www.openpolicyagent.org/docs/management-bundles): a gzipped tar with the rules, a
`data.json` and a `.manifest` whose revision is the policy's digest. The same files give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile

from domain.registry.canonical import Json, encode
from veritasvault.adapters.policy_files import PolicyFiles


def bundle(files: PolicyFiles) -> bytes:
    """The bundle's bytes; tests are not in it."""
    manifest: Json = {"revision": files.digest, "roots": ["veritas"], "rego_version": 1}
    members = {
        ".manifest": encode(manifest),
        "data.json": encode(files.data),
        **{name: text.encode() for name, text in files.rules.items()},
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)
