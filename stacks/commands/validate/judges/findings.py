"""What a validator found."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a validator refuses or doubts."""

    judge: str
    """`cfn-lint`, `botocore`, `moto`, `policy_sentry`, `parliament`, `kubernetes`, `checkov` or `translation`."""

    rule: str
    """The judge's own name of the rule, e.g. `E3031`."""

    where: str
    """Kind and logical name, e.g. `rds/instance database-instance`."""

    message: str

    def as_dict(self) -> dict[str, str]:
        """The finding as JSON's object."""
        return asdict(self)
