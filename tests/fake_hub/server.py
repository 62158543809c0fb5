"""The two hosts: threads, ports, the record of who asked what, and the faults in wait."""

import threading
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Self

from fake_hub.api import HubHandler
from fake_hub.faults import Fault
from fake_hub.files import StoreHandler
from fake_hub.store import Repository, Store


@dataclass(frozen=True)
class Asked:
    """One request."""

    host: str
    method: str
    path: str
    headers: dict[str, str]


class FakeHub:
    """A running Hub; `with FakeHub() as hub`.

    `part` is the size in bytes above which uploads go in parts.
    """

    def __init__(self, part: int = 2**18) -> None:
        self.part, self.store = part, Store()
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self._servers = [_Server(("127.0.0.1", 0), handler) for handler in (HubHandler, StoreHandler)]
        for server in self._servers:
            server.hub = self
        hub, files = (server.server_address[1] for server in self._servers)
        self.endpoint, self.files = f"http://127.0.0.1:{hub}", f"http://localhost:{files}"
        self.mirror = f"{self.files}/mirror"
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in self._servers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def create(self, name: str, *, private: bool = False, gated: bool = False, **files: bytes) -> Repository:
        """A repository that is there already."""
        repository = self.store.repositories[name] = Repository(name, private, gated)
        if files:
            repository.add(files)
        return repository

    def repository(self, name: str) -> Repository:
        return self.store.repositories[name]

    def forget(self) -> None:
        """A new test: nothing asked yet, no fault in wait, no repositories."""
        self.asked.clear()
        self.faults.clear()
        for things in (self.store.repositories, self.store.objects, self.store.mirror):
            things.clear()

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, used up by one."""
        with self.lock:
            found = next((fault for fault in self.faults if fault.applies(method, path)), None)
            if found:
                found.times -= 1
                if found.before:
                    found.before()
            return found

    def count(self, method: str, path: str) -> int:
        """How many requests of this kind were made for a path that ends so."""
        return sum(asked.method == method and asked.path.endswith(path) for asked in self.asked)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    hub: FakeHub
