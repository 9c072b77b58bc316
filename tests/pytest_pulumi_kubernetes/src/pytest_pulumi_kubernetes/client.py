"""A small client of the Kubernetes API: any kind, server-side apply, strict field validation."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from pytest_pulumi_kubernetes.kubeconfig import tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_pulumi_kubernetes.kubeconfig import Connection

Object = dict[str, Any]
"""A Kubernetes object as JSON has it."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

_ANSWER_SECONDS = 60.0
"""How long a request may take; a webhook may use up to 30 s of it."""


_BUSY_PAUSES = (0.2, 0.5, 1, 2, 2, None)
"""Seconds before a request is repeated that the server was too busy for, as it is while it learns of a new kind."""


class ApiError(Exception):
    """The API server refused a request; the message is the server's."""

    def __init__(self, code: int, status: Object) -> None:
        super().__init__(status.get("message") or f"HTTP status {code}")
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.causes: list[Object] = (status.get("details") or {}).get("causes") or []


class UnreachableError(Exception):
    """No API server answered; the message names the address."""


@dataclass(frozen=True)
class Resource:
    """What the API server says about one kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Give the path of a collection, or of one object."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        space = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{space}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Client:
    """Talks to one API server as one user; safe to use from several threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._tls = tls(connection.authority)
        self._idle: list[http.client.HTTPSConnection] = []
        self._lock = threading.Lock()
        self._resources: dict[str, dict[str, Resource]] = {}

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request and give the decoded answer.

        Raises: ApiError, UnreachableError.
        """
        target = path + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self.connection.token}", "Accept": "application/json"}
        payload = None
        if body is not None:
            payload, headers["Content-Type"] = json.dumps(body).encode(), content_type
        for pause in _BUSY_PAUSES:
            code, answer = self._send(method, target, payload, headers)
            if code != http.client.TOO_MANY_REQUESTS or pause is None:
                break
            time.sleep(pause)
        try:
            decoded = json.loads(answer) if answer else {}
        except ValueError:
            decoded = {"message": answer.decode(errors="replace").strip()}
        if code >= http.client.BAD_REQUEST:
            raise ApiError(code, decoded if isinstance(decoded, dict) else {})
        return decoded

    def close(self) -> None:
        """Close the connections that are open."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _send(self, method: str, target: str, payload: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._exchange(kept, method, target, payload, headers)
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
                kept.close()  # the server had closed an idle connection: a new one decides
        address = urlsplit(self.connection.server)
        fresh = http.client.HTTPSConnection(
            address.hostname or "", address.port or 443, timeout=_ANSWER_SECONDS, context=self._tls
        )
        try:
            return self._exchange(fresh, method, target, payload, headers)
        except (OSError, http.client.HTTPException) as error:
            fresh.close()
            where = self.connection.server
            raise UnreachableError(f"the Kubernetes API server {where} does not answer: {error}") from error

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        target: str,
        payload: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        connection.request(method, target, body=payload, headers=headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        with self._lock:
            self._idle.append(connection)
        return answer

    def resource(self, api_version: str, kind: str) -> Resource:
        """Look a kind up.

        Raises: ApiError with the code 404 when the server knows no such kind.
        """
        found = self._resources.get(api_version, {}).get(kind)
        if found is None:
            self._discover(api_version)
            found = self._resources.get(api_version, {}).get(kind)
        if found is None:
            raise ApiError(
                http.client.NOT_FOUND,
                {"reason": "NoKindMatch", "message": f'no matches for kind "{kind}" in version "{api_version}"'},
            )
        return found

    def knows(self, api_version: str, kind: str) -> bool:
        """Say whether the server names a kind."""
        try:
            self.resource(api_version, kind)
        except ApiError as error:
            if error.code != http.client.NOT_FOUND:
                raise
            return False
        return True

    def resources(self) -> Iterator[Resource]:
        """Give every kind of every preferred version that can be listed."""
        versions = ["v1"] + [
            group["preferredVersion"]["groupVersion"] for group in self.request("GET", "/apis").get("groups", [])
        ]
        for version in versions:
            self._discover(version)
            yield from (item for item in self._resources.get(version, {}).values() if "list" in item.verbs)

    def _discover(self, api_version: str) -> None:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            items = self.request("GET", root).get("resources", [])
        except ApiError as error:
            if error.code != http.client.NOT_FOUND:
                raise
            items = []
        self._resources[api_version] = {
            item["kind"]: Resource(
                api_version, item["kind"], item["name"], item["namespaced"], frozenset(item.get("verbs") or ())
            )
            for item in items
            if "/" not in item["name"]
        }

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        """Give one object.

        Raises: ApiError (404 when there is none), UnreachableError.
        """
        found = self.request("GET", self.resource(api_version, kind).path(namespace, name))
        return dict(found)

    def find(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Give one object, or None when there is none (of that name, or of that kind at all)."""
        try:
            return self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.code == http.client.NOT_FOUND:
                return None
            raise

    def list(self, api_version: str, kind: str, namespace: str | None = None, **query: str) -> list[Object]:
        """Give the objects of a kind, in one namespace or in all."""
        found = self.request("GET", self.resource(api_version, kind).path(namespace), query=query)
        return [{"apiVersion": api_version, "kind": kind} | item for item in found.get("items") or []]

    def apply(
        self, wanted: Object, manager: str = "pytest-pulumi", *, force: bool = True, dry_run: bool = False
    ) -> Object:
        """Apply an object on the server, refusing unknown and duplicate fields.

        Raises: ApiError (409 for a field that another manager owns, unless `force`), UnreachableError.
        """
        metadata = wanted.get("metadata") or {}
        resource = self.resource(wanted["apiVersion"], wanted["kind"])
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = resource.path(metadata.get("namespace") or self.connection.namespace, metadata["name"])
        return dict(self.request("PATCH", path, wanted, query, APPLY))

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str | None = None, propagation: str = "Foreground"
    ) -> None:
        """Ask for an object's deletion; that it is gone already is fine."""
        try:
            self.request(
                "DELETE",
                self.resource(api_version, kind).path(namespace, name),
                {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation},
            )
        except ApiError as error:
            if error.code != http.client.NOT_FOUND:
                raise

    def patch(
        self, target: Object, change: Object, *, subresource: str = "", content_type: str = MERGE, manager: str = ""
    ) -> Object:
        """Change an object by a patch.

        Raises: ApiError, UnreachableError.
        """
        metadata = target["metadata"]
        path = self.resource(target["apiVersion"], target["kind"]).path(metadata.get("namespace"), metadata["name"])
        path += f"/{subresource}" if subresource else ""
        query = {"fieldManager": manager} if manager else None
        return dict(self.request("PATCH", path, change, query, content_type))

    def wait(
        self,
        target: tuple[str, str, str, str | None],
        condition: Callable[[Object | None], bool],
        seconds: float = 60.0,
    ) -> Object | None:
        """Wait until an object (api version, kind, name, namespace) satisfies a condition; None stands for no object.

        Raises: TimeoutError that shows the object's status.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.find(*target)
            if condition(found):
                return found
            if time.monotonic() > deadline:
                status = "it is not there" if found is None else json.dumps(found.get("status"), indent=1)
                raise TimeoutError(f"{target[1]} {target[2]!r} within {seconds:g} s: {status}")
            time.sleep(0.2)
