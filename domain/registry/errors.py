"""The one tree of errors: each message is a sentence that names field, value and remedy, and no secret."""

from __future__ import annotations

from typing import Any, ClassVar

from domain.registry.redaction import redacted, shown_address


class DomainException(Exception):
    """Root of everything the domain and its ports raise.

    Attributes:
        exit_code: what the command line ends with: 1 the answer is bad, 2 wrong usage or input.
        retriable: whether the same call may succeed later; schedulers retry nothing else.
    """

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as it is: subclasses take other arguments than the message, and workers raise them too."""
        return _restored, (type(self), self.args), self.__dict__


class InvalidInput(DomainException):
    """A caller gave something unusable."""

    exit_code = 2

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field = field
        self.value = shown_address(value) if isinstance(value, str) else value
        self.remedy = redacted(remedy)
        super().__init__(f"{field} is {_shown(self.value)}: {self.remedy}")


class NoSuchSource(InvalidInput):
    """A source names a file or an object that is not there, though the store can be reached."""


class UnsafeArtifact(InvalidInput):
    """An artifact holds a file that the allow-list of formats does not admit."""


class NotFound(DomainException):
    """Nothing is registered under the reference."""


class IntegrityError(DomainException):
    """Something stored differs from what the ledger or its own digest says."""


class NotVerified(DomainException):
    """A proof, a signature or a receipt does not hold."""


class GateFailed(DomainException):
    """Gates refused a candidate; nothing was registered.

    Attributes:
        reasons: one sentence for each failed gate.
    """

    def __init__(self, name: str, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__(f"{name} was not registered, {len(reasons)} gate(s) failed: {'; '.join(reasons)}")


class CodeNotHad(DomainException):
    """The code that trained a version cannot be had here, so nothing can be trained with it."""


class RetrainingFailed(DomainException):
    """Training a version again ended with an error, which a retry would meet again."""


class NotPermitted(DomainException):
    """The person may not do this, or the policy does not allow it."""


class StaleDecision(DomainException):
    """The champion or the evidence is not what was decided on any more."""


class Unavailable(DomainException):
    """A store, a ledger, an engine or a server cannot be used now; a retry may succeed."""

    retriable = True


class LedgerConflict(Unavailable):
    """The ledger grew after it was read; `commit` reads again and decides again."""


class Contended(Unavailable):
    """A command lost every race until its deadline."""


class CollectionUnderWay(Unavailable):
    """Another run of gc deletes now, or was killed while it did and its time is not over yet."""


class CondemnedMeanwhile(Unavailable):
    """gc condemned what a registration had just stored or adopted; a retry stores it again."""


class SigningKeyRevoked(Unavailable):
    """The key that would sign is revoked; a retry succeeds once a new key has taken its place."""


class DataNotArrived(Unavailable):
    """The source ends before the session the run stands for, and may still grow."""


def _restored(kind: type[DomainException], args: tuple[Any, ...]) -> DomainException:
    error = kind.__new__(kind)
    error.args = args
    return error


def _shown(value: object) -> str:
    """A value as a message shows it: quoted, and never longer than a line."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
