"""Values that a server hands out and that become paths, object keys or URLs: each kind has one form and one check.

Whatever MLflow, the artifact store, the ledger, an alert or an outcome names is foreign: it passes one of these
functions before a path is built from it. The annotated types apply the same checks in pydantic models.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

from workloads.lifecycle.base.errors import WorkloadError

LONGEST_KEY_BYTES = 900
"""Longest path below the workload's root; S3 allows 1,024 bytes with the root.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

LONGEST_NAME_BYTES = 255
"""Longest name of one file or folder. Source: https://man7.org/linux/man-pages/man3/pathconf.3.html (NAME_MAX)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEX32 = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,199}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REPORT = re.compile(r"reports/[0-9]{8}T[0-9]{12}Z/drift_report\.html")
_INGESTION_RUN = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{12}")
_SHOWN = 60


class IdentifierError(WorkloadError, ValueError):
    """A foreign value has another form than its kind allows; the text names the value and the allowed form."""


def sha256_hex(value: object, what: str = "checksum") -> str:
    """A SHA-256 checksum."""
    return _matched(_SHA256, value, what, "64 hexadecimal digits 0-9a-f")


def run_id(value: object, what: str = "run id") -> str:
    """An MLflow run's id, which MLflow makes of 32 hexadecimal digits and others may choose themselves."""
    return _matched(_RUN_ID, value, what, "1 to 128 letters, digits, '_' or '-', beginning with a letter or digit")


def model_version(value: object, what: str = "model version") -> str:
    """A version of the registered model."""
    return _matched(_VERSION, value, what, "a whole number from 1 on, without leading zeros")


def ingestion_run(value: object, what: str = "ingestion run") -> str:
    """An ingestion run: its time and the first digits of its data's hash."""
    return _matched(_INGESTION_RUN, value, what, "<date>T<time in microseconds>Z-<12 hexadecimal digits>")


def window_name(value: object, what: str = "labelled window") -> str:
    """A window of labelled rows: the first digits of its hash."""
    return _matched(_HEX32, value, what, "32 hexadecimal digits 0-9a-f")


def retrain_id(value: object, what: str = "retrain id") -> str:
    """A row of the retraining ledger."""
    return run_id(value, what)


def digest(value: object, what: str = "digest") -> str:
    """A SHA-256 in hexadecimal."""
    return _matched(_DIGEST, value, what, "64 lowercase hexadecimal digits")


def report_path(value: object, what: str = "report path") -> str:
    """The object of a drift report, which is shown without a token."""
    return _matched(_REPORT, value, what, "reports/<date>T<time in microseconds>Z/drift_report.html")


def plain_name(value: object, what: str = "name") -> str:
    """One file, folder or object name that needs no quoting anywhere."""
    allowed = "1 to 200 letters, digits or '._=+-', beginning with a letter or digit"
    return _matched(_PLAIN_NAME, value, what, allowed)


def artifact_path(value: object, what: str = "artifact path") -> str:
    """A path of MLflow's artifact proxy, `<experiment>/<run>/artifacts/<folder>`: plain names, joined by '/'."""
    allowed = f"plain names (letters, digits, '._=+-') joined by single '/', up to {LONGEST_KEY_BYTES} characters"
    if not isinstance(value, str) or len(value) > LONGEST_KEY_BYTES:
        raise _refusal(value, what, allowed)
    if any(_PLAIN_NAME.fullmatch(name) is None for name in value.split("/")):
        raise _refusal(value, what, allowed)
    return value


def object_path(value: object, what: str = "object path") -> str:
    """A path in the artifact store, relative to a root that it cannot leave."""
    allowed = (
        f"names joined by single '/', none of them '.' or '..', without control characters or backslashes, up to "
        f"{LONGEST_KEY_BYTES} bytes ({LONGEST_NAME_BYTES} a name)"
    )
    if not isinstance(value, str) or not value.isprintable() or "\\" in value:
        raise _refusal(value, what, allowed)
    names = [name.encode(errors="replace") for name in value.split("/")]
    if (
        len(value.encode(errors="replace")) > LONGEST_KEY_BYTES
        or any(name in (b"", b".", b"..") for name in names)
        or max(map(len, names)) > LONGEST_NAME_BYTES
    ):
        raise _refusal(value, what, allowed)
    return value


def _matched(form: re.Pattern[str], value: object, what: str, allowed: str) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise _refusal(value, what, allowed)
    return value


def _refusal(value: object, what: str, allowed: str) -> IdentifierError:
    text = ascii(value)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
    return IdentifierError(f"{what} {shown} is refused; allowed: {allowed}")


RunId = Annotated[str, AfterValidator(run_id)]
ModelVersion = Annotated[str, AfterValidator(model_version)]
IngestionRun = Annotated[str, AfterValidator(ingestion_run)]
ReportPath = Annotated[str, AfterValidator(report_path)]
