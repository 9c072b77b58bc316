"""A registry: images of a folder by the OCI distribution API, on 127.0.0.1.

Run as a script, `registry.py FOLDER PORT [--writable]`; standard library only. The folder holds `blobs/<hex>` and
`tags/<repository>/<tag>`, a file with the digest of a manifest. Only a writable one takes images.
Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<reference>[A-Za-z0-9._:-]+)")
_UPLOAD = re.compile(r"/v2/(?P<name>[a-z0-9._/-]+)/blobs/uploads/(?P<upload>[0-9a-f]*)")
_CHUNK = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, and where it is writable the requests of a push."""

    protocol_version = "HTTP/1.1"
    folder: Path
    writable = False

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with the body."""
        self._answer(body=True)

    def do_POST(self) -> None:
        """Begin an upload."""
        found = _UPLOAD.fullmatch(urlsplit(self.path).path)
        if self._refused(found):
            return
        upload = secrets.token_hex(16)
        self._part(upload).touch()
        self._accepted(self.path, upload)

    def do_PATCH(self) -> None:
        """Take a part of an upload."""
        found = _UPLOAD.fullmatch(urlsplit(self.path).path)
        if self._refused(found) or found is None:
            return
        self._take(self._part(found["upload"]))
        self._accepted(self.path.rpartition("/")[0] + "/", found["upload"])

    def do_PUT(self) -> None:
        """End an upload, or take a manifest."""
        url = urlsplit(self.path)
        upload, manifest = _UPLOAD.fullmatch(url.path), _PATH.fullmatch(url.path)
        if self._refused(upload or manifest):
            return
        part = self._part(upload["upload"] if upload else secrets.token_hex(16))
        self._take(part)
        digest = _sha256(part)
        wanted = parse_qs(url.query).get("digest", [f"sha256:{digest}"])[0]
        if wanted != f"sha256:{digest}":
            part.unlink()
            self._head(HTTPStatus.BAD_REQUEST, 0)
            return
        part.replace(self.folder / "blobs" / digest)
        if manifest:
            tag = self.folder / "tags" / manifest["name"] / manifest["reference"]
            tag.parent.mkdir(parents=True, exist_ok=True)
            tag.write_text(wanted)
        self._head(HTTPStatus.CREATED, 0, **{"Docker-Content-Digest": wanted, "Location": url.path})

    def _refused(self, found: re.Match[str] | None) -> bool:
        """Answer a request that is none of a push, or that a registry which only reads gets."""
        if found is not None and self.writable and ".." not in found["name"]:
            return False
        self.close_connection = True  # its body is not read
        self._head(HTTPStatus.METHOD_NOT_ALLOWED if found else HTTPStatus.NOT_FOUND, 0)
        return True

    def _part(self, upload: str) -> Path:
        return self.folder / f"upload-{upload}"

    def _take(self, part: Path) -> None:
        """Write the body of the request to the end of a file; parts of unknown length come in chunks."""
        with part.open("ab") as file:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    self._copy(size, file)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                self._copy(int(self.headers.get("Content-Length", 0)), file)

    def _copy(self, size: int, file: BinaryIO) -> None:
        while size and (data := self.rfile.read(min(size, _CHUNK))):
            file.write(data)
            size -= len(data)

    def _accepted(self, place: str, upload: str) -> None:
        size = self._part(upload).stat().st_size
        about = {"Location": f"{place}{upload}", "Range": f"0-{max(0, size - 1)}"}
        self._head(HTTPStatus.ACCEPTED, 0, **about)

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

    def log_message(self, *_: object) -> None:
        """Keep silent."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    Handler.folder, Handler.writable = Path(sys.argv[1]), "--writable" in sys.argv[3:]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
