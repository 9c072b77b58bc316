"""moto, AWS in the memory of this process: each call that makes a resource, in the program's order.

What the program refers to exists by then, under the id that moto gave it. A call that moto does not know is left out,
and so is a refusal about something that others made, such as an existing VPC.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError, ParamValidationError

from stacks.commands.validate.judges.api import Call
from stacks.commands.validate.judges.findings import Finding

_ACCOUNT = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:([0-9]{12}):")
_ABSENT = re.compile(r"NotFound|NoSuch|not exist|not found|Invalid\w*ID|InvalidParameter", re.IGNORECASE)


def judge(made: list[Call], region: str) -> tuple[list[Finding], Counter[str]]:
    """What moto refuses, and how many calls it answered, refused, and does not know (`made`, `refused`, `unknown`)."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # else it knows none of AWS's own policies
    os.environ["MOTO_ACCOUNT_ID"] = next(_accounts(made), "123456789012")  # read when moto is imported
    from moto import mock_aws  # noqa: PLC0415

    work = _Account(region)
    with mock_aws():
        for call in made:
            work.make(call)
    return work.found, work.counts


def _accounts(made: list[Call]) -> Iterator[str]:
    for call in made:
        if found := _ACCOUNT.search(str(call.parameters)):
            yield found[1]


class _Account:
    """An account in memory, and the ids by which it knows what the simulation named otherwise."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._client = functools.cache(functools.partial(boto3.client, region_name=region))
        self._made: set[str] = set()
        self._ids: dict[str, str] = {}
        self.found: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def make(self, call: Call) -> None:
        """Send a call, and note what came of it."""
        parameters = self._known(dict(call.parameters))
        if call.operation == "CreateBucket":
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        client = self._client(call.service)
        try:
            answer = client._make_api_call(call.operation, parameters)  # noqa: SLF001
        except NotImplementedError:
            self.counts["unknown"] += 1
        except ParamValidationError as error:
            self._refused(call, "PARAMETERS", str(error).replace("\n", " "))
        except ClientError as error:
            code, text = error.response["Error"]["Code"], str(error)
            if "ot yet implemented" in text or self._is_about_others(call, text):
                self.counts["unknown"] += 1
            else:
                self._refused(call, code, text)
        else:
            self.counts["made"] += 1
            self._remember(call, answer)

    def _refused(self, call: Call, rule: str, message: str) -> None:
        self.counts["refused"] += 1
        self.found.append(Finding("moto", rule, call.where, message))

    def _remember(self, call: Call, answer: dict[str, Any]) -> None:
        self._made |= {call.id, call.name}
        start = call.id.partition("-")[0] + "-"
        for key, value in _texts(answer, ""):
            if key == "KeyId" or (value.startswith(start) and re.fullmatch("[a-z]+-[0-9a-f]{8,17}", value)):
                self._ids.setdefault(call.id, value)
                return

    def _known(self, value: Any) -> Any:
        """A value with moto's ids in place of the simulation's."""
        if isinstance(value, dict):
            return {key: self._known(each) for key, each in value.items() if each is not None}
        if isinstance(value, list):
            return [self._known(each) for each in value]
        if isinstance(value, str):
            for old, new in self._ids.items():
                if old in value:
                    value = value.replace(old, new)
        return value

    def _is_about_others(self, call: Call, message: str) -> bool:
        """Whether something is missing that the stack does not make, or that moto could not make."""
        if not _ABSENT.search(message):
            return False
        named = [text for _, text in _texts(call.parameters, "") if text in message and "::aws:" not in text]
        return bool(named) and not any(text in self._made for text in named)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)
