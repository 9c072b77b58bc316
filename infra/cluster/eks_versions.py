"""Kubernetes versions that EKS supports, and the add-ons' versions that go with each: data only, checked 2026-11.

Source: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html for the versions in standard support,
`aws eks describe-addon-versions --kubernetes-version …` for the add-ons; `make preflight` asks an account whether
they are still offered.
"""

from collections.abc import Mapping
from typing import Literal

Version = Literal["1.35", "1.36"]
"""In standard support; older ones cost six times as much and are near their end."""

Addon = Literal["vpc-cni", "kube-proxy", "eks-pod-identity-agent", "coredns", "aws-ebs-csi-driver", "metrics-server"]

ADDONS: Mapping[Version, Mapping[Addon, str]] = {
    "1.35": {
        "vpc-cni": "v1.22.3-eksbuild.1",
        "kube-proxy": "v1.35.3-eksbuild.17",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "coredns": "v1.13.2-eksbuild.11",
        "aws-ebs-csi-driver": "v1.63.1-eksbuild.1",
        "metrics-server": "v0.9.0-eksbuild.5",
    },
    "1.36": {
        "vpc-cni": "v1.22.4-eksbuild.3",
        "kube-proxy": "v1.36.0-eksbuild.21",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "coredns": "v1.14.3-eksbuild.16",
        "aws-ebs-csi-driver": "v1.63.1-eksbuild.1",
        "metrics-server": "v0.9.0-eksbuild.5",
    },
}
