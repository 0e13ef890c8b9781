"""Hypothesis strategies for the registry's value objects."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import Digest
from domain.registry.events import (
    KeyIntroducedEvent,
    KeyRevokedEvent,
    ModelRegisteredEvent,
    NotReproducedEvent,
    RegistrationRefusedEvent,
)
from domain.registry.events.audit import RegistryAuditedEvent
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent, CondemnedEvent
from domain.registry.events.keys import KEY_ROLES
from domain.registry.events.monitoring import (
    DRIFT_KINDS,
    DriftDetectedEvent,
    DriftFinding,
    ModelMonitoredEvent,
)
from domain.registry.events.reproduction import STAGES, ModelReproducedEvent, ReproductionFailedEvent
from domain.registry.evidence import OUTCOMES, AttachmentRef, GateResult
from domain.registry.lineage import Lineage
from domain.registry.manifest import Manifest, ModelId
from domain.registry.metadata import ModelMetadata, RiskTier
from domain.registry.ports import PublicKey

digests = st.text("0123456789abcdef", min_size=64, max_size=64).map(Digest)
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=40
)
names = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
days = st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1))
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | finite
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
paths = st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=3).map("/".join)
moments = st.datetimes(*(dt.datetime(year, 1, 1) for year in (2000, 2100)), timezones=st.just(dt.UTC))  # noqa: DTZ001

metadata = st.builds(ModelMetadata, names, texts, texts, st.sampled_from(RiskTier), texts, texts, texts)
lineages = st.builds(
    Lineage,
    digests,
    digests,
    digests,
    digests,
    st.dictionaries(texts, plain, max_size=4),
    st.integers(0, 2**32 - 1),
    days,
)
files = st.builds(ArtifactFile, paths, st.integers(0, 2**50), digests)
artifacts = st.lists(files, min_size=1, max_size=5, unique_by=lambda file: file.path.casefold()).map(
    lambda listed: Artifact(tuple(listed))
)
manifests = st.builds(Manifest, metadata, st.none() | lineages, artifacts)
gate_results = st.builds(
    GateResult, texts, st.sampled_from(OUTCOMES), texts, st.dictionaries(texts, finite, max_size=3)
)
attachments = st.builds(AttachmentRef, texts, texts, st.integers(0, 2**50), digests)
provenances = st.dictionaries(texts, texts, max_size=4)
versions = st.integers(1, 2**40)
model_ids = digests.map(ModelId)

registered = st.builds(
    ModelRegisteredEvent,
    names,
    versions,
    model_ids,
    st.none() | digests,
    st.none() | days,
    digests,
    st.none() | versions,
    st.none() | texts,
    st.lists(gate_results, max_size=3).map(tuple),
    st.lists(attachments, max_size=3).map(tuple),
    provenances,
    moments,
)
refused = st.builds(
    RegistrationRefusedEvent,
    names,
    model_ids,
    st.none() | digests,
    digests,
    st.lists(gate_results, max_size=3).map(tuple),
    provenances,
    moments,
)
not_reproduced = st.builds(
    NotReproducedEvent, names, versions, digests, digests, digests, provenances, moments
)
public_keys = st.one_of(
    st.builds(PublicKey, texts, st.just("ed25519"), st.binary(min_size=32, max_size=32)),
    st.builds(
        PublicKey, texts, st.just("ecdsa-p256"), st.binary(min_size=64, max_size=64).map(b"\x04".__add__)
    ),
)
key_introduced = st.builds(
    KeyIntroducedEvent.of,
    st.integers(0, 2**40),
    st.sampled_from(KEY_ROLES),
    public_keys,
    provenances,
    moments,
)
key_revoked = st.builds(KeyRevokedEvent, st.integers(0, 2**40), digests, texts, provenances, moments)
attachments_of_models = st.builds(AttachmentOfModel, model_ids, digests)
condemned = st.builds(
    CondemnedEvent,
    st.integers(0, 2**40),
    st.lists(model_ids, max_size=3).map(tuple),
    st.lists(attachments_of_models, max_size=3).map(tuple),
    texts,
    moments,
    provenances,
    moments,
)
collected = st.builds(
    CollectedEvent,
    st.integers(0, 2**40),
    st.lists(model_ids, max_size=3).map(tuple),
    st.lists(attachments_of_models, max_size=3).map(tuple),
    texts,
    provenances,
    moments,
)
reproduced = st.builds(
    ModelReproducedEvent,
    names,
    versions,
    st.integers(0, 2**40),
    texts,
    texts,
    digests,
    digests,
    st.floats(0, 1e9),
    provenances,
    moments,
)
reproduction_failed = st.builds(
    ReproductionFailedEvent,
    names,
    versions,
    st.integers(0, 2**40),
    texts,
    texts,
    st.sampled_from(STAGES),
    digests,
    st.none() | digests,
    st.none() | digests,
    texts,
    provenances,
    moments,
)
audited = st.builds(
    RegistryAuditedEvent,
    st.integers(0, 2**40),
    days,
    days,
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    digests,
    st.lists(model_ids, max_size=3).map(tuple),
    st.lists(model_ids, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.integers(0, 2**40),
    provenances,
    moments,
)
drift_findings = st.lists(
    st.builds(
        DriftFinding,
        st.sampled_from(DRIFT_KINDS),
        texts,
        st.booleans(),
        st.dictionaries(texts, st.floats(-1e9, 1e9), max_size=3),
    ),
    max_size=3,
).map(tuple)
rates = st.floats(0.001, 0.5)
monitored = st.builds(
    ModelMonitoredEvent,
    names,
    versions,
    st.integers(0, 2**40),
    st.dates(),
    st.integers(1, 250),
    rates,
    drift_findings,
    provenances,
    moments,
)
drift_detected = st.builds(
    DriftDetectedEvent,
    names,
    versions,
    st.integers(0, 2**40),
    st.dates(),
    st.integers(1, 250),
    rates,
    drift_findings,
    texts,
    digests,
    st.booleans(),
    provenances,
    moments,
)
events = st.one_of(
    registered,
    refused,
    not_reproduced,
    key_introduced,
    key_revoked,
    condemned,
    collected,
    reproduced,
    reproduction_failed,
    audited,
    monitored,
    drift_detected,
)
