"""Karpenter's descriptions of nodes, which are Kubernetes objects and end up as machines of AWS."""

from policies.typed import Props

NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"


def machine_of(resource: Props) -> Props:
    """What a resource says about machines: of a node class its specification, which spells as EC2 does."""
    return resource.child("spec") if resource.resource.type == NODE_CLASS else resource
