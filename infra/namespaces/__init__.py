"""Namespaces: where on a cluster the platform and its workloads stand, and what keeps each within its bounds."""

from infra.namespaces.settings import NamespacesSettings, Quota

__all__ = ["NamespacesSettings", "Quota"]
