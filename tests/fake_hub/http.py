"""What both hosts share: reading a request, writing an answer, failing as told."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fake_hub.faults import corrupted
from fake_hub.store import Refused


class Handler(BaseHTTPRequestHandler):
    """One connection; subclasses have `answer`, which routes."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def answer(self, parts: list[str]) -> None:
        raise NotImplementedError

    @property
    def hub(self) -> Any:
        return self.server.hub

    @property
    def user(self) -> str | None:
        """Who asks; a token that nobody has is refused."""
        words = self.headers.get("authorization", "").split()
        if not words:
            return None
        if words[-1] not in self.hub.store.users:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return self.hub.store.users[words[-1]]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query))

    def body(self) -> bytes:
        return self._body

    def json(self) -> Any:
        return json.loads(self._body)

    def say(self, value: Any, status: int = 200, **headers: str) -> None:
        self.send(json.dumps(value).encode(), status, **{"Content-Type": "application/json", **headers})

    def send(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            cut = self._fault is not None and self._fault.kind == "cut"
            self.wfile.write(data[: self._fault.at or len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut

    def send_file(self, data: bytes, **headers: str) -> None:
        """A file, or the part of it that `Range` asks for."""
        if self._fault is not None and self._fault.kind == "corrupt":
            data = corrupted(data)
        start = self.headers.get("range", "").removeprefix("bytes=").partition("-")[0]
        if not start:
            return self.send(data, **headers)
        rest = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self.send(data[int(start) :], 206, **{"Content-Range": rest, **headers})

    def _serve(self) -> None:
        from fake_hub.server import Asked

        length = int(self.headers.get("content-length") or 0)
        self._body = self.rfile.read(length) if length else self._chunks()
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.asked.append(Asked(headers.get("host", ""), self.command, unquote(url.path), headers))
        self._fault = self.hub.fault(self.command, unquote(url.path))
        try:
            if self._fault is not None and self._fault.kind == "unavailable":
                raise Refused(503, "", "Service Unavailable")
            if self._fault is not None and self._fault.kind == "refuse":
                raise Refused(403, "", "Forbidden")
            self.answer([unquote(part) for part in url.path.strip("/").split("/")])
        except Refused as error:
            names = {"X-Error-Code": error.code, "X-Error-Message": str(error)} if error.code else {}
            self.say(error.body, error.status, **names)

    def _chunks(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return b""
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def log_message(self, *_: object) -> None:
        pass
