"""Addresses of streams: real commands and a real server on loopback; secrets stay out of what is said."""

import functools
import http.server
import threading

import pytest
from pictures import jpeg, write_tar

from ladder_hub.data.addresses import CONSENT, expand, is_address, name, public, reading
from ladder_hub.data.image_source import DataError
from ladder_hub.data.tar_members import LostError
from ladder_hub.data.tar_stream import FirstLeftOut, TarShard

SECRET = "s3cr3t"


@pytest.fixture
def shard(tmp_path):
    return write_tar(tmp_path / "train-000000.tar", [(f"{n}.jpg", jpeg(n)) for n in range(3)])


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setenv(CONSENT, "1")


def read(address):
    return [(image.key, image.data) for image in TarShard(address, FirstLeftOut(print)).read()]


EXPECTED = [(f"train-000000.tar:{n}.jpg", jpeg(n)) for n in range(3)]


def test_a_command(shard) -> None:
    assert read(f"pipe:cat {shard}") == EXPECTED
    assert read(f"PIPE: cat {shard} | cat") == EXPECTED


def test_a_command_needs_consent(monkeypatch) -> None:
    monkeypatch.delenv(CONSENT, raising=False)
    with pytest.raises(DataError) as caught:
        expand(f"pipe:curl -H 'Authorization: {SECRET}' https://host/train-{{000000..000002}}.tar")
    assert CONSENT in str(caught.value)
    assert SECRET not in str(caught.value)
    monkeypatch.setenv(CONSENT, "yes")
    with pytest.raises(DataError):
        expand("pipe:cat x.tar")


@pytest.mark.usefixtures("allowed")
def test_a_brace_pattern() -> None:
    assert expand("pipe:cat /a/train-{0..2}.tar") == [f"pipe:cat /a/train-{n}.tar" for n in range(3)]
    assert expand("https://host/{000..001}.tar") == ["https://host/000.tar", "https://host/001.tar"]
    with pytest.raises(DataError, match="brace pattern"):
        expand("https://host/train-{0..1.tar")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", r"status 3 \(it said nothing\)"),
        ("echo first >&2; echo no such bucket >&2; exit 1", r"status 1 \(no such bucket\)"),
        ("head -c 2000 {shard}; echo cut >&2; exit 7", r"status 7 \(cut\)"),
        ("cat {shard}; exit 9", "status 9"),
        ("no-such-command-anywhere {shard}", "status 127"),
    ],
)
def test_a_command_that_fails(shard, command, said) -> None:
    with pytest.raises(LostError, match=said):
        read("pipe:" + command.replace("{shard}", str(shard)))


def test_a_command_that_is_left_early_is_ended(tmp_path) -> None:
    images = TarShard(
        f"pipe:while cat {write_tar(tmp_path / 's.tar', [('a.jpg', jpeg(0))])}; do :; done", FirstLeftOut(print)
    ).read()
    assert next(images).data == jpeg(0)
    images.close()  # returns: the endless command was killed and waited for


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_fsspec(shard, scheme) -> None:
    address = shard.as_uri()
    if scheme == "memory":
        import fsspec

        fsspec.filesystem("memory").pipe_file("/a/train-000000.tar", shard.read_bytes())
        address = "memory://a/train-000000.tar"
    assert read(address) == EXPECTED


def test_what_is_not_there_is_told_at_once(tmp_path) -> None:
    for address in (f"file://{tmp_path}/none.tar", "memory://none.tar", "nosuch://host/none.tar"):
        with pytest.raises(DataError) as caught:
            read(address)
        assert str(caught.value).startswith(f"can't open {public(address)}: ")
        assert "\n" not in str(caught.value)


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; refuses who has no key, and cuts what is asked for as `cut`."""

    def do_GET(self) -> None:
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 700)
        elif SECRET in self.path:
            super().do_GET()
        else:
            self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(shard):
    handler = functools.partial(Server, directory=str(shard.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_http(server) -> None:
    assert read(f"{server}/train-000000.tar?key={SECRET}") == EXPECTED
    with pytest.raises((DataError, LostError)) as caught:
        read(f"{server}/none.tar?key={SECRET}")
    assert SECRET not in str(caught.value)
    with pytest.raises((DataError, LostError)) as caught:
        read(f"{server}/train-000000.tar?key=other")
    assert "other" not in str(caught.value)
    with pytest.raises((DataError, LostError)):
        read(f"{server}/cut.tar")


@pytest.mark.parametrize(
    ("address", "told", "own"),
    [
        (f"https://user:{SECRET}@host/a/t-0.tar?X-Signature={SECRET}#x", "https://host/a/t-0.tar", "t-0.tar"),
        ("s3://bucket/t-{0..2}.tar", "s3://bucket/t-{0..2}.tar", "t-{0..2}.tar"),
        (f"pipe:curl -H 'Token: {SECRET}' https://h/t-0.tar", "pipe:… t-0.tar", "t-0.tar"),
        (f"pipe:fetch {SECRET}", "pipe:…", "pipe:…"),
    ],
)
def test_what_is_told_of_an_address(address, told, own) -> None:
    assert public(address) == told
    assert name(address) == own


def test_what_is_an_address() -> None:
    for spec in ("pipe:cat x", "https://h/x.tar", "HTTPS://h/x.tar", "hf://datasets/a/b.tar", "s3://b/x"):
        assert is_address(spec)
    for spec in ("/a/b.tar", "a.tar", "hf:org/name", "shapes", "shapes:5", "C:/x.tar", ""):
        assert not is_address(spec)


def test_a_compressed_shard(tmp_path, shard) -> None:
    import gzip

    (tmp_path / "t.tar.gz").write_bytes(gzip.compress(shard.read_bytes()))
    assert [data for _, data in read((tmp_path / "t.tar.gz").as_uri())] == [data for _, data in EXPECTED]


def test_reading_gives_the_bytes(shard) -> None:
    with reading(shard.as_uri()) as stream:
        assert stream.read(10**6) == shard.read_bytes()
        assert not stream.seekable()
