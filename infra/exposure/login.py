"""Login in front of a gateway's servers, by Envoy Gateway: OpenID Connect for people, networks or tokens for programs.

Source: https://gateway.envoyproxy.io/docs/tasks/security/oidc/
"""

from collections.abc import Mapping
from typing import Any, assert_never

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from infra.exposure.settings import ModelAccessSettings, NetworkAccessSettings, TokenAccessSettings
from infra.exposure.spec import Login
from infra.kube.objects import labels
from infra.kube.substrate import Kubernetes

GROUP = "gateway.networking.k8s.io"
CALLBACK = "/oauth2/callback"


def require_login(
    name: str, login: Login, *, gateway: str, domain: str, substrate: Kubernetes, parent: pulumi.Resource
) -> apiextensions.CustomResource:
    """Let nobody through the gateway without a login; one login is for all of the domain's hosts.

    A route is open without it only where a policy of its own says so.
    """
    secret = core.v1.Secret(
        f"{name}-client",
        metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace, labels=labels(name)),
        string_data={"client-secret": login.secret},
        immutable=True,
        opts=substrate.child(parent),
    )
    spec = {
        "targetRefs": [{"group": GROUP, "kind": "Gateway", "name": gateway}],
        "oidc": {
            "provider": {"issuer": login.settings.issuer},
            "clientID": login.settings.client_id,
            "clientSecret": {"name": secret.metadata.name},
            "scopes": list(login.settings.scopes),
            "redirectURL": f"https://start.{domain}{CALLBACK}",
            # Servers have a `/logout` of their own.
            "logoutPath": "/oauth2/logout",
            "cookieDomain": domain,
        },
    }
    return _policy(name, spec, substrate.namespace, substrate.child(parent))


def open_to_programs(
    name: str,
    *,
    route: str,
    namespace: pulumi.Input[str],
    access: ModelAccessSettings,
    issuer: str | None,
    parent: pulumi.Resource,
) -> apiextensions.CustomResource:
    """Let programs through to the HTTPRoute `route`; `issuer` signs their tokens."""
    target = {"group": GROUP, "kind": "HTTPRoute", "name": route}
    return _policy(
        name,
        {"targetRefs": [target], **_access(access, issuer)},
        namespace,
        pulumi.ResourceOptions(parent=parent),
    )


def _access(access: ModelAccessSettings, issuer: str | None) -> Mapping[str, Any]:
    match access:
        case NetworkAccessSettings():
            clients = {"name": "clients", "action": "Allow", "principal": {"clientCIDRs": list(access.cidrs)}}
            return {"authorization": {"defaultAction": "Deny", "rules": [clients]}}
        case TokenAccessSettings():
            provider = {
                "name": "issuer",
                "issuer": issuer,
                "audiences": [access.audience],
                "remoteJWKS": {"uri": access.keys_url},
            }
            return {"jwt": {"providers": [provider]}}
        case _:
            assert_never(access)


def _policy(
    name: str, spec: Mapping[str, Any], namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource:
    return apiextensions.CustomResource(
        name,
        api_version="gateway.envoyproxy.io/v1alpha1",
        kind="SecurityPolicy",
        metadata=meta.v1.ObjectMetaArgs(namespace=namespace),
        spec=spec,
        opts=opts,
    )
