"""Processes that ask the Hub: each forked from one that has imported torch, timm and the client, with HF_ENDPOINT set.

A fork is a fresh process for what is tested (its own cache, login, connections) and starts in milliseconds; what is
read only at import, HF_HUB_OFFLINE for one, needs a process of its own: `artifact_factory.python`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

LIMIT = 120
_SOURCES = Path(__file__).parent.parent

_PARENT = """
import json, os, sys
import huggingface_hub.file_download, huggingface_hub.hf_api
import timm, torch, ladder_hub.cli, ladder_hub.publishing.push, ladder_hub.publishing.retrieval, ladder_hub.receipt
import ladder_hub.publishing.verify
torch.set_num_threads(1)
for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        break
    print(pid, flush=True)
else:
    os._exit(0)

def run():
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.argv = ["-c", *job["argv"]]
    from huggingface_hub import constants
    constants.HF_HUB_CACHE = os.path.join(job["env"]["HF_HOME"], "hub")
    import time
    time.sleep = lambda seconds: None  # between its attempts the client sleeps for seconds
    exec(compile(job["code"], "<client>", "exec"), {"__name__": "__main__"})

status = 0
try:
    run()
except SystemExit as error:
    status = error.code or 0
except BaseException:
    import traceback
    traceback.print_exc()
    status = 99
sys.stdout.flush(); sys.stderr.flush()
os._exit(status)
"""


def variables(endpoint: str, home: Path, token: str = "") -> dict[str, str]:
    """The environment of a client of the Hub at `endpoint`."""
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


class Client:
    """One process; `result` waits for it."""

    def __init__(self, clients: "Clients", pid: int, out: Path, err: Path) -> None:
        self._clients, self._pid, self._out, self._err = clients, pid, out, err

    def result(self, status: int = 0) -> str:
        """What it printed; it must have ended with `status`."""
        code = int(self._clients.ask({"wait": self._pid}))
        assert code == status, f"exit status {code}: {self._err.read_text()}"
        return self._out.read_text()

    @property
    def errors(self) -> str:
        return self._err.read_text()


class Clients:
    """Starts processes that know the Hub at `endpoint`; `with Clients(endpoint) as clients`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._folder = tempfile.TemporaryDirectory(prefix="ladder-hub-clients-")
        self.folder = Path(self._folder.name)
        env = os.environ | variables(endpoint, self.folder / "home")
        env["PYTHONPATH"] = os.pathsep.join([str(_SOURCES.parent), str(_SOURCES)])
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._parent = subprocess.Popen([sys.executable, "-c", _PARENT], env=env, text=True, **pipes)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate(timeout=LIMIT)
        self._folder.cleanup()

    def start(self, code: str, *arguments: object, home: Path, token: str = "", **environment: str) -> Client:
        """Run `code` in a new process, which is not waited for."""
        self._count += 1
        out, err = (self.folder / f"{self._count}.{kind}" for kind in ("out", "err"))
        home.mkdir(parents=True, exist_ok=True)
        env = variables(self.endpoint, home, token) | environment
        argv = [str(argument) for argument in arguments]
        job = {"code": code, "argv": argv, "env": env, "cwd": str(home), "out": str(out), "err": str(err)}
        return Client(self, int(self.ask(job)), out, err)

    def run(self, code: str, *arguments: object, home: Path, token: str = "", **environment: str) -> str:
        """What `code` prints in a new process."""
        return self.start(code, *arguments, home=home, token=token, **environment).result()

    def ask(self, job: dict[str, Any]) -> str:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(job) + "\n")
        self._parent.stdin.flush()
        return self._parent.stdout.readline()
