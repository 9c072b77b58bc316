"""A certificate of AWS Certificate Manager for all hosts of a domain, proved in the domain's hosted zone."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import acm, route53

VALIDATION_TTL_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class AcmCertificateArgs:
    """Whose certificate."""

    domain: str

    zone_id: str


class AcmCertificate(pulumi.ComponentResource):
    """A wildcard certificate; AWS renews it as long as the record that proves the domain is there.

    Source: https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html
    """

    arn: pulumi.Output[str]
    """Known once the certificate was issued."""

    def __init__(self, name: str, args: AcmCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:AcmCertificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        certificate = acm.Certificate(
            name,
            domain_name=f"*.{args.domain}",
            validation_method="DNS",
            key_algorithm="EC_prime256v1",
            opts=child,
        )
        proof = certificate.domain_validation_options[0]
        record = route53.Record(
            f"{name}-proof",
            zone_id=args.zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=VALIDATION_TTL_SECONDS,
            # The same for every certificate of the domain in this account.
            allow_overwrite=True,
            opts=child,
        )
        issued = acm.CertificateValidation(
            f"{name}-issued",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=child,
        )

        self.arn = issued.certificate_arn
        self.register_outputs({"arn": self.arn})
