"""Certificates of a test control plane, made by openssl and thrown away with it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pytest_pulumi_kubernetes.processes import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


class Authority:
    """A certificate authority of its own."""

    def __init__(self, folder: Path, openssl: Path) -> None:
        self._folder, self._openssl = folder, openssl
        self.certificate, self.key = folder / "ca.crt", folder / "ca.key"
        uses = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._run("req", "-x509", *_CURVE, "-subj", "/CN=pytest-pulumi", *uses, *self._to("ca"))

    def issue(self, name: str, hosts: Sequence[str]) -> tuple[Path, Path]:
        """Issue a server's certificate for DNS names and addresses; give certificate and key."""
        names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts)
        signed = ("-CA", str(self.certificate), "-CAkey", str(self.key))
        extensions = ("-addext", f"subjectAltName={names}", "-addext", "extendedKeyUsage=serverAuth")
        constraints = ("-addext", "basicConstraints=critical,CA:FALSE")
        self._run("req", "-x509", *_CURVE, "-subj", f"/CN={name}", *signed, *extensions, *constraints, *self._to(name))
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def issue_client(self, name: str, group: str) -> tuple[Path, Path]:
        """Issue a client's certificate for a user and its group; give certificate and key."""
        signed = ("-CA", str(self.certificate), "-CAkey", str(self.key))
        extensions = ("-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=critical,CA:FALSE")
        subject = ("-subj", f"/O={group}/CN={name}")
        self._run("req", "-x509", *_CURVE, *subject, *signed, *extensions, *self._to(name))
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"

    def signing_key(self, name: str) -> Path:
        """Make a key in the form that the API server wants for the tokens of service accounts."""
        path = self._folder / f"{name}.key"
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
        return path

    def _to(self, name: str) -> tuple[str, ...]:
        return ("-out", str(self._folder / f"{name}.crt"), "-keyout", str(self._folder / f"{name}.key"))

    def _run(self, *arguments: str) -> None:
        answer = subprocess.run(
            [self._openssl, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            raise ClusterError(f"openssl makes no certificate: {answer.stderr.strip()}")
