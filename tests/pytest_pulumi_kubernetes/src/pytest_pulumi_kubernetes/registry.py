"""A read-only registry: images of a folder by the OCI distribution API, on 127.0.0.1.

Run as a script, `registry.py FOLDER PORT`; standard library only. The folder holds `blobs/<hex>` and
`tags/<repository>/<tag>`, a file with the digest of a manifest.
Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
import shutil
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<reference>[A-Za-z0-9._:-]+)")


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with the body."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        if path in ("/v2", "/v2/"):
            self._head(HTTPStatus.OK, 0)
            return
        found = _PATH.fullmatch(path)
        blob = self._blob(found["name"], found["reference"]) if found else None
        if found is None or blob is None:
            self._head(HTTPStatus.NOT_FOUND, 0)
            return
        kind = MANIFEST if found["kind"] == "manifests" else "application/octet-stream"
        digest = {"Docker-Content-Digest": f"sha256:{blob.name}", "Content-Type": kind}
        self._head(HTTPStatus.OK, blob.stat().st_size, **digest)
        if body:
            with blob.open("rb") as file:
                shutil.copyfileobj(file, self.wfile, 1 << 20)

    def _blob(self, name: str, reference: str) -> Path | None:
        """The file with a digest, or with the manifest that a tag names; None for an unknown one."""
        if not reference.startswith("sha256:"):
            tag = self.folder / "tags" / name / reference
            if ".." in tag.parts or not tag.is_file():
                return None
            reference = tag.read_text()
        blob = self.folder / "blobs" / reference.removeprefix("sha256:")
        return blob if blob.is_file() else None

    def _head(self, status: HTTPStatus, length: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
