"""What the registry needs from the outside, each with its behaviour when things fail.

Every port raises `Unavailable` when the thing behind it cannot be used now, and lets no foreign
exception through. Every adapter of a port passes the same contract suite (`tests/contracts/`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domain.registry.artifact import StagedArtifact
from domain.registry.canonical import Digest
from domain.registry.manifest import ModelId
from domain.registry.policy import Decision, PolicyAction, PolicyInput


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a stored artifact, as the store sees it: relative POSIX path and size in bytes."""

    path: str
    size: int


class ModelRegistryPort(Protocol):
    """Write-once storage of models: `models/{model_id}/artifact/<path>`, `…/attachments/<sha256>`,
    `…/metadata.json` (the manifest), the last written last and only if absent.

    A model exists once its manifest does. A crash leaves an invisible object that the same call adopts.
    """

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        """Store durably; a second call with the same content re-reads and re-hashes what it adopts.

        Raises:
            IntegrityError: something else is stored under one of the keys.
        """

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        """Write the artifact's files to the new directory `destination`, all or nothing.

        Every byte is checked against the manifest, and the manifest against the id, before
        `destination` appears.

        Raises:
            NotFound: no such model.
            InvalidInput: `destination` exists.
            IntegrityError: what is stored differs from its digests; names the object.
        """

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        """Store an attachment under its SHA-256 and return that; the first writer wins."""

    def exists(self, model_id: ModelId) -> bool: ...

    def list(self) -> Iterator[ModelId]:
        """Every stored model, in the order of ids; including ones no ledger knows."""

    def read_manifest(self, model_id: ModelId) -> bytes:
        """The manifest's bytes as stored, unverified. Raises NotFound."""

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        """An attachment's bytes as stored, unverified. Raises NotFound."""

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        """The files under `artifact/`, in the order of paths, whatever the manifest says."""

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        """A stored file in chunks, unverified. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """An attachment as the store lists it; size in bytes and time are None if the store does not tell."""

    sha256: Digest
    size: int | None = None
    modified: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredModel:
    """All that lies under a model id, whether the manifest is there or not.

    Attributes:
        modified: when the newest object got there, by the store's clock; None if the store keeps no times.
    """

    model_id: ModelId
    modified: dt.datetime | None
    attachments: tuple[StoredAttachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something unfinished that nobody will ever ask for by its name, such as an upload of a killed process.

    Attributes:
        kind: what it is, in a word or two.
        name: what removes it, unique among the leftovers of one port.
        size: bytes, None if unknown.
    """

    kind: str
    name: str
    size: int | None
    modified: dt.datetime


class LeftoversPort(Protocol):
    """A place in which killed processes leave things behind that the ledger never knew of."""

    def leftovers(self) -> Iterator[Leftover]:
        """Those that are there now; ones that a living process is known to hold are left out."""

    def remove_leftover(self, leftover: Leftover) -> None:
        """Remove one; nothing if it is gone. Whoever still works with it fails with `Unavailable`."""


StillOurs = Callable[[], None]
"""Raises Unavailable if what is being deleted may be stored again by now, and is not ours any more."""


class CollectablePort(ModelRegistryPort, LeftoversPort, Protocol):
    """What garbage collection needs of a registry; every registry is one.

    Deleting is for `Collector` alone, which writes into the ledger what it deletes.
    """

    def stored(self) -> Iterator[StoredModel]:
        """Everything that is stored, in the order of ids, half-stored models included.

        What was stored before the call is listed, except what the store cannot list: blobs of an OCI
        registry without a tag, Git LFS objects without a commit.
        """

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        """Delete all that lies under an id, the manifest among the first; nothing if there is none.

        When it returns the model does not exist, and storing it again works, also after a delete that failed
        halfway. Storing it at the same moment may fail, or adopt what vanishes then: it is the ledger that
        keeps the two apart.

        Args:
            still_ours: is asked right before each request that deletes, after all that is looked up for it;
                what it raises ends the deletion there.

        Raises:
            InvalidInput: the store does not let us delete.
        """

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        """Delete one attachment; nothing if there is none. Asks and raises as `delete_model`."""

    def ledger_mark(self) -> bytes | None:
        """The object `ledger.json` beside the models, None if there is none; see `LedgerMark`."""

    def set_ledger_mark(self, mark: bytes) -> None:
        """Write that object durably, over an older one; of writers at the same time the last one wins."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger: its place, its dedupe key, its canonical bytes and their RFC 6962 leaf hash."""

    index: int
    key: str
    data: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """The hash of a complete subtree: it covers the leaves index << level up to (index + 1) << level."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A row of the projection: one registered version and the index of its entry."""

    name: str
    version: int
    model_id: ModelId
    recipe: Digest | None
    as_of: dt.date | None
    artifact_digest: Digest
    index: int


@dataclass(frozen=True, slots=True)
class Batch:
    """All that one append writes in one transaction; made by the domain, so adapters only store."""

    entries: tuple[Entry, ...]
    nodes: tuple[Node, ...]
    versions: tuple[VersionRow, ...]


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed note as stored, and the tree size it is filed under."""

    size: int
    note: bytes


class LedgerPort(Protocol):
    """The append-only log of domain events, with its subtree hashes and its projection.

    A ledger comes into being with its first append, or when its name is asked for; reading one that does not
    exist yet finds nothing, and creates nothing. Reads see only committed appends. A reply lost at COMMIT
    surfaces as `Unavailable`; the caller settles it by `find`.
    """

    def origin(self) -> str:
        """The name of this ledger, made once when it was created; also the origin of its checkpoints."""

    def size(self) -> int: ...

    def append(self, expected_size: int, batch: Batch) -> None:
        """Write the batch if the ledger has exactly `expected_size` entries.

        Raises:
            LedgerConflict: the ledger has another size, or one of the keys is taken; nothing was written.
        """

    def find(self, key: str) -> Entry | None: ...

    def find_each(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The entries with these keys, by key; those that are not there are left out."""

    def read(self, start: int, stop: int | None = None) -> Iterator[Entry]:
        """Entries start up to stop (or the end), in order."""

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Stored subtree hashes by (level, index), leaf hashes at level 0; missing ones are left out."""

    def all_nodes(self) -> Iterator[Node]:
        """Every stored subtree hash above the leaves, by level and index; for verification."""

    def versions(
        self,
        name: str | None = None,
        *,
        as_of: dt.date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        """Projected versions of one name or all, of one as-of date or all, newest entry first.

        `before` is an entry's index: only versions registered by earlier entries.
        """

    def models(
        self,
        *,
        containing: str = "",
        after: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        """The newest version of each name, in the order of the names' bytes.

        Args:
            containing: a text that the names contain.
            after: a name; only those that follow it.
            before: as for `versions`.
        """

    def count_models(self, *, containing: str = "", before: int | None = None) -> int:
        """How many names `models` gives without `after` and `limit`."""

    def dated(
        self, name: str, *, later_than: dt.date | None = None, before: int | None = None
    ) -> Iterator[VersionRow]:
        """Versions of a name with an as-of date, the latest first; of one date, the newest entry first."""

    def mentioning(self, text: bytes, *, before: int | None = None) -> Iterator[Entry]:
        """Entries whose bytes contain this text, newest first."""

    def version(self, name: str, version: int) -> VersionRow | None: ...

    def by_model_id(self, model_id: ModelId) -> VersionRow | None:
        """The first version registered with this id."""

    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed note; adding the same again is a no-op.

        Raises:
            LedgerConflict: another note is stored for this size.
        """

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """All checkpoints in the order of sizes."""

    def last_checkpoint(self) -> StoredCheckpoint | None: ...

    def self_check(self) -> Iterator[str]:
        """What the store's own check of its files finds wrong, such as an index that disagrees with its
        table, one sentence each; for verification."""


class WitnessPort(Protocol):
    """Keeps copies of one ledger's checkpoints where the ledger's operator cannot change them.

    `str` of a witness is its address, for messages.
    """

    def put(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed note for good; keeping the same again is a no-op.

        Raises:
            IntegrityError: another note of this size is kept; it stays.
        """

    def sizes(self) -> Iterator[int]:
        """The sizes of what is kept, rising; a witness that was never used has none.

        Raises:
            IntegrityError: something there has no checkpoint's name.
        """

    def read(self, size: int) -> StoredCheckpoint:
        """The note of this size, unverified. Raises NotFound."""

    def all(self) -> Iterator[StoredCheckpoint]:
        """Everything kept, in the order of sizes, unverified.

        Raises:
            IntegrityError: something there has no checkpoint's name.
        """


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key by name.

    Attributes:
        algorithm: 'ed25519' (RFC 8032), or 'ecdsa-p256' (FIPS 186-5 with SHA-256, signatures as DER).
        raw: the 32 bytes of an Ed25519 key, or the 65 bytes of an uncompressed P-256 point (SEC 1).
    """

    name: str
    algorithm: str
    raw: bytes


class SignerPort(Protocol):
    """Signs with a key that never leaves the adapter.

    What one signer object signs is by the key that it names first in `public_keys`, also if another process
    gives the adapter a new key meanwhile.
    """

    def sign(self, message: bytes) -> bytes:
        """Sign with the current key. Raises Unavailable."""

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The current key first, then older ones whose signatures stay valid."""

    def rotate(self, announce: Callable[[PublicKey], None]) -> PublicKey:
        """Make a new key, hand its public half to `announce`, then sign with it; the old one stays listed.

        Until `announce` returns this object signs with the old key, so that the old key can vouch for the
        new one. If it raises, or the process dies in it, which of the two keys is current afterwards is the
        adapter's to say; the old key's signatures stay valid either way.

        Raises:
            Unavailable: the new key cannot be made now.
        """

    def verify(self, key: PublicKey, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message; False for anything malformed.

        Every signer verifies both algorithms, whatever its own key's is.
        """


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a file of an artifact is refused: its path, the reason, and what to do instead."""

    path: str
    reason: str
    remedy: str


class ArtifactScannerPort(Protocol):
    """Reads each file with the strict parser of an allowed format; what no parser accepts is a finding."""

    def scan(self, artifact: StagedArtifact) -> tuple[Finding, ...]:
        """Findings in the order of paths; empty means that all files are of allowed formats."""


class PolicyPort(Protocol):
    """The rules that people set on the lifecycle of models."""

    def decide(self, action: PolicyAction, question: PolicyInput) -> Decision:
        """Whether the policy allows the action, and why not.

        Denies by default and raises nothing: an input that misses a field, a rule that is undefined, a policy
        that cannot be read or has an error, a server that cannot be reached, answers too late or answers
        something else are denials whose reasons say so. `Decision.policy` is the digest of the files that
        decided, not of those that this machine has. One call is one evaluation; it is never tried again.
        """


class Clock(Protocol):
    """The time of day, so that tests can stand at any moment."""

    def now(self) -> dt.datetime:
        """The moment, with a time zone."""
