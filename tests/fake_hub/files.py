"""The file store: what redirects lead to, where uploads go, and a mirror."""

import hashlib

from fake_hub.http import Handler
from fake_hub.store import Refused


class StoreHandler(Handler):
    """`/objects/SHA256` (GET, PUT, parts with ?part=1), `/complete/SHA256`, `/mirror/NAME`."""

    def answer(self, parts: list[str]) -> None:
        place, name = parts[0], parts[-1]
        if place == "complete":
            return self._complete(name)
        if self.command == "PUT":
            return self._take(name)
        known = self.hub.store.mirror if place == "mirror" else self.hub.store.objects
        if name not in known:
            raise Refused(404, "", "no such object")
        return self.send_file(known[name])

    def _take(self, name: str) -> None:
        etag = hashlib.md5(self.body()).hexdigest()
        if part := self.query.get("part"):
            self.hub.store.parts.setdefault(name, {})[int(part)] = self.body()
        else:
            self._keep(name, self.body())
        self.send(b"", ETag=f'"{etag}"')

    def _complete(self, name: str) -> None:
        sent = self.hub.store.parts.pop(name)
        named = [part["partNumber"] for part in self.json()["parts"]]
        self._keep(name, b"".join(sent[number] for number in named))
        self.say({})

    def _keep(self, name: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != name:
            raise Refused(400, "", "the content is not what its name says")
        self.hub.store.objects[name] = data
