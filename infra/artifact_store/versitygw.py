"""A versitygw with one account for each folder of its bucket, which reaches what is below the folder and nothing else.

It limits no account to reading, and none to a part of its folder. Names of objects are no secret: docs/adr/0012.
Source: https://github.com/versity/versitygw/wiki/Bucket-Policy
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

BUCKET = "mlplatform"
REGION = "us-east-1"
"""versitygw's own default; clients must sign for the same one."""
OBJECTS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
NAMES = ("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """By which an account is known."""

    access: str

    secret: str


def start(address: str, data: str, accounts: str) -> str:
    """Command that serves the bucket from one folder, with the accounts and the bucket's policy from another.

    A bucket is a folder; its metadata lie beside the objects, because not every volume keeps extended attributes. The
    policy is put where the server itself would keep it, with an access list that lists nobody: without one copies fail.
    """
    about = f"{data}/metadata/{BUCKET}/meta"
    return (
        f"mkdir -p {data}/objects/{BUCKET} {about} && cp {accounts}/policy.json {about}/policy"
        f" && echo '{{}}' > {about}/acl && exec versitygw --port {address} --region {REGION} --iam-dir {accounts}"
        f" --health /healthz --quiet posix --sidecar {data}/metadata {data}/objects"
    )


def users(accounts: Mapping[str, Keys]) -> str:
    """The file `users.json` of accounts, by folder."""
    known = {each.access: {"access": each.access, "secret": each.secret, "role": "user"} for each in accounts.values()}
    return json.dumps({"accessAccounts": known}, sort_keys=True)


def policy(accounts: Mapping[str, Keys]) -> str:
    """The file `policy.json`: all that accounts may do in the bucket."""
    objects = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [each.access]},
            "Action": OBJECTS,
            "Resource": [f"arn:aws:s3:::{BUCKET}/{folder}*"],
        }
        for folder, each in sorted(accounts.items())
    ]
    names = {
        "Effect": "Allow",
        "Principal": {"AWS": sorted(each.access for each in accounts.values())},
        "Action": NAMES,
        "Resource": [f"arn:aws:s3:::{BUCKET}"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [*objects, names]})
