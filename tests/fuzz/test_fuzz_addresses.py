"""What stands in `data.train`: any text opens something or is refused in one line, and no secret is told."""

import pytest
from fuzzing import Tally, bounded, check_message
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub.data.addresses import CONSENT, name, public
from ladder_hub.data.hf_dataset import read_address
from ladder_hub.data.sources import is_stream, open_source, open_stream, public_spec

SECRET = "s3cr3t"
PRINTED = st.characters(categories=["L", "N", "P", "S", "Zs"]).filter(str.isprintable)
TEXT = st.text(PRINTED, max_size=40)


def test_any_address_of_a_dataset():
    tally = Tally()
    options = st.sampled_from(["config", "split", "stream", "image", "revisoin", "", "="])

    @bounded(300)
    @given(TEXT, st.lists(st.tuples(options, TEXT), max_size=3))
    def run(path, pairs):
        query = "&".join(f"{key}={value}" for key, value in pairs)
        tally.run(lambda: read_address(f"hf:{path}?{query}"), "hf:")
        tally.run(lambda: is_stream(f"hf:{path}?{query}"), "hf:")

    run()
    assert tally.accepted > 50
    assert tally.refused > 50


@pytest.mark.parametrize("consent", [False, True])
def test_any_stream_that_leads_nowhere(monkeypatch, tmp_path, consent):
    """No scheme is drawn that would ask the network; commands are those that do nothing."""
    monkeypatch.setenv(CONSENT, "1" if consent else "0")
    tally = Tally()
    starts = st.sampled_from(
        [f"file://{tmp_path}/", "memory://", "nosuch://", "pipe:false ", "pipe:exit 1; ", "FILE://["]
    )

    @bounded(60)
    @given(starts, TEXT)
    def run(start, rest):
        spec = start + rest.replace("'", "").replace('"', "")
        assert is_stream(spec)
        tally.run(lambda: open_stream(spec, samples=8, buffer=2, patience=5))
        tally.run(lambda: open_source(spec, split="val"), "data.val=")

    run()
    assert tally.accepted == 0
    assert tally.refused >= 120


@bounded(300)
@given(st.sampled_from(["https", "s3", "hf", "x+y"]), TEXT, TEXT)
def test_no_secret_is_told(scheme, host, path):
    address = f"{scheme}://me:{SECRET}@{host}/{path}?key={SECRET}#{SECRET}"
    for told in (public(address), name(address), public_spec(address)):
        # A slash, a question mark or a hash in the host itself ends it: what follows is no user any more.
        if not set("/?#\\[]") & set(host + path):
            assert SECRET not in told
    check_message(public_spec(address) or "-")
