"""Older versions of objects in a versioned bucket, which reading and deleting by name do not touch.

Speaks S3 by boto3, because pyarrow's filesystems know no versions. Leaves out copies of a bucket in another region:
S3 replicates no deletion of a version, so there they expire by `noncurrent_days`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlparse

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError


class Version(NamedTuple):
    """An older version of one object."""

    path: str
    """Below the workload's root, as in `Store`."""

    identifier: str


class ObjectVersions:
    """The older versions below a workload's root; none where the store is a folder or keeps no versions."""

    def __init__(self, environment: Environment) -> None:
        uri = environment.need("artifact_store_uri").rstrip("/")
        parsed = urlparse(uri)
        self._client: Any = None
        self._bucket = parsed.netloc
        self._root = "/".join(part for part in (parsed.path.strip("/"), environment.definition.name) if part)
        self._uri = f"{uri}/{environment.definition.name}"
        if parsed.scheme == "s3":
            import boto3  # noqa: PLC0415  a second that stores of folders do not need

            self._client = boto3.Session().client("s3", endpoint_url=environment.aws_endpoint_url_s3 or None)

    def older(self, prefix: str) -> Iterator[Version]:
        """Versions below a prefix that are not the current ones, deleted objects' among them; raises WorkloadError."""
        if self._client is None:
            return
        root = f"{self._root}/{prefix}/"
        with _named(self._uri, "s3:ListBucketVersions"):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=root)
            for page in pages:
                for found in page.get("Versions", ()):
                    if not found["IsLatest"]:
                        yield Version(found["Key"].removeprefix(f"{self._root}/"), found["VersionId"])

    def read(self, version: Version) -> bytes:
        """Content of a version; raises WorkloadError."""
        with _named(self._uri, "s3:GetObjectVersion"):
            found = self._client.get_object(
                Bucket=self._bucket, Key=f"{self._root}/{version.path}", VersionId=version.identifier
            )
            return bytes(found["Body"].read())

    def delete(self, version: Version) -> None:
        """Delete a version for good; raises WorkloadError."""
        with _named(self._uri, "s3:DeleteObjectVersion"):
            self._client.delete_object(
                Bucket=self._bucket, Key=f"{self._root}/{version.path}", VersionId=version.identifier
            )


class _named:  # noqa: N801  used as a context, like contextlib's own
    """Turns an error of S3 into one line that names the store and the right that is missing."""

    def __init__(self, uri: str, right: str) -> None:
        self._uri, self._right = uri, right

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        if isinstance(error, ClientError) and error.response["Error"]["Code"] in {"AccessDenied", "403"}:
            raise WorkloadError(
                f"artifact store {self._uri}: older versions of objects cannot be erased, because {self._right} is "
                "refused; run the erasure where the retraining service runs, whose role has this right"
            ) from error
        if isinstance(error, BotoCoreError | ClientError):
            raise WorkloadError(f"artifact store {self._uri}: {error}") from error
