"""The index against webdataset's own reader, and shards that must be refused."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from pictures import jpeg, write_tar
from webdataset.shardlists import expand_urls

from ladder_hub.data import tar_cache, tar_index
from ladder_hub.data.decode import decode
from ladder_hub.data.sources import BadImage, DataError, notes_of, open_source
from ladder_hub.data.tar_stream import FirstLeftOut, TarShard
from ladder_hub.downstream.knn import check_labels
from ladder_hub.errors import UserError


@pytest.fixture
def pattern(tmp_path):
    """Three shards of four labelled samples, written by webdataset."""
    for shard in range(3):
        with wds.TarWriter(str(tmp_path / f"train-{shard:06d}.tar")) as writer:
            for place in range(4):
                number = shard * 4 + place
                sample = {"__key__": f"n{number:03d}", "jpg": jpeg(number), "cls": number % 3}
                writer.write(sample | {"json": {"n": number}})
    return f"{tmp_path}/train-{{000000..000002}}.tar"


def test_agrees_with_webdataset(pattern):
    source = open_source(pattern, split="train")
    theirs = list(wds.WebDataset(pattern, shardshuffle=False))
    assert len(source) == len(theirs) == 12
    for index, sample in enumerate(theirs):
        assert source.key(index) == f"train-{index // 4:06d}.tar:{sample['__key__']}.jpg"
        assert source.labels[index] == int(sample["cls"])
        assert (source.image(index) == decode(sample["jpg"])).all()


def test_names_with_folders_dots_and_capitals(tmp_path):
    members = [
        ("./x.y/a.JPG", jpeg(0)),
        ("./x.y/a.CLS", b"4\n"),
        ("b.depth.png", jpeg(1, kind="PNG")),
        ("b.jpg", jpeg(2)),
        ("c.left.jpg", jpeg(3)),
        ("README", b"no dot"),
        (".hidden", b""),
        ("d.txt", b"no image"),
    ]
    path = write_tar(tmp_path / "s.tar", members)
    source = open_source(str(path), split="train")
    names = [source.key(index) for index in range(len(source))]
    assert names == ["s.tar:./x.y/a.JPG", "s.tar:b.jpg", "s.tar:c.left.jpg"]
    theirs = [s["__key__"] for s in wds.WebDataset(str(path), shardshuffle=False)]
    assert [key for key in theirs if not key.endswith("d")] == ["./x.y/a", "b", "c"]
    assert source.labels is None  # only one sample has a class


def test_long_and_foreign_names(tmp_path):
    name = "ä" * 120 + ".jpg"
    source = open_source(str(write_tar(tmp_path / "s.tar", [(name, jpeg(0))])), split="train")
    assert source.key(0) == f"s.tar:{name}"
    assert (source.image(0) == decode(jpeg(0))).all()


def test_fingerprint(pattern):
    source = open_source(pattern, split="train")
    print_ = source.fingerprint()
    digest = print_.pop("digest")
    assert print_ == {"source": "shards", "name": "train-{000000..000002}.tar", "count": 12, "classes": 3}
    assert open_source(pattern, split="val").fingerprint()["digest"] == digest
    assert open_source(pattern.replace("2}", "1}"), split="val").fingerprint()["digest"] != digest


def test_pickles_with_open_files(pattern):
    source = open_source(pattern, split="train")
    first = source.image(7)
    assert (pickle.loads(pickle.dumps(source)).image(7) == first).all()


def test_more_shards_than_files_kept_open(pattern, monkeypatch):
    monkeypatch.setattr("ladder_hub.data.shards._OPEN_FILES", 1)
    source = open_source(pattern, split="train")
    for index in (0, 11, 5, 0):
        assert (source.image(index) == decode(jpeg(index))).all()


def test_bad_member_and_shard_that_shrinks(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", b"nonsense"), ("b.jpg", jpeg(0))])
    source = open_source(str(path), split="train")
    with pytest.raises(BadImage) as caught:
        source.image(0)
    assert (caught.value.key, caught.value.reason) == ("s.tar:a.jpg", "not an image")
    with path.open("r+b") as file:
        file.truncate(1600)
    with pytest.raises(BadImage, match="the shard became shorter while in use"):
        source.image(1)


def test_digest_is_what_it_was_before_it_was_kept(pattern):
    """A resumed run compares it: keys, sizes and labels, in order."""
    lines = [f"train-{n // 4:06d}.tar:n{n:03d}.jpg\0{len(jpeg(n))}\0{n % 3}\n" for n in range(12)]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    for _ in range(2):
        assert open_source(pattern, split="train").fingerprint()["digest"] == expected


def test_progress_while_an_index_is_built(pattern, monkeypatch):
    monkeypatch.setattr(tar_index, "_MB", 1)
    monkeypatch.setattr(tar_index, "_TELL_EVERY", 6)
    sizes = [path.stat().st_size for path in map(Path, sorted(expand_urls(pattern)))]
    said = []
    open_source(pattern, split="train", progress=lambda *told: said.append(told))
    assert {told[1:] for told in said} == {(sum(sizes), "indexing the shards (MB)")}
    done = [told[0] for told in said]
    assert done == sorted(done)
    assert set(done) > {0, sizes[0], sum(sizes[:2]), sum(sizes)}
    open_source(pattern, split="train", progress=lambda *told: pytest.fail("it is kept"))


# -- cache --


def test_second_opening_reads_the_cache(pattern, monkeypatch):
    first = open_source(pattern, split="train")
    monkeypatch.setattr(tar_cache, "build_index", lambda shards, progress: pytest.fail("read the shards again"))
    second = open_source(pattern, split="train")
    assert [second.key(i) for i in range(12)] == [first.key(i) for i in range(12)]
    assert (second.labels == first.labels).all()


@pytest.mark.parametrize("damage", ["text", "cut", "lengths", "empty"])
def test_corrupt_cache_is_rebuilt(pattern, monkeypatch, tmp_path, damage):
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    open_source(pattern, split="train")
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    if damage == "lengths":
        with np.load(file) as arrays:
            changed = dict(arrays) | {"offset": arrays["offset"][:-1]}
        np.savez(file, **changed)
    else:
        file.write_bytes({"text": b"hello", "cut": whole[: len(whole) // 2], "empty": b""}[damage])
    source = open_source(pattern, split="train")
    assert (source.image(11) == decode(jpeg(11))).all()
    with np.load(file) as arrays:
        assert len(arrays["offset"]) == 12
    assert [f.name for f in (tmp_path / "cache").iterdir()] == [file.name]


def test_changed_shard_is_read_again(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0))])
    assert len(open_source(str(path), split="train")) == 1
    write_tar(path, [("a.jpg", jpeg(0)), ("b.jpg", jpeg(1))])
    assert len(open_source(str(path), split="train")) == 2


def test_a_link_s_own_name_is_in_the_keys_and_the_digest(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0))])
    (tmp_path / "link.tar").symlink_to(path)
    first, second = (open_source(f"{tmp_path}/{name}.tar", split="train") for name in ("s", "link"))
    assert (first.key(0), second.key(0)) == ("s.tar:a.jpg", "link.tar:a.jpg")
    assert first.fingerprint()["digest"] != second.fingerprint()["digest"]


def test_same_name_size_and_mtime_in_another_folder(tmp_path):
    for number, name in enumerate(("A", "B")):
        path = write_tar(tmp_path / name / "s.tar", [("a.jpg", jpeg(0)), ("a.cls", b"%d" % number)])
        os.utime(path, ns=(10**18, 10**18))
    labels = [open_source(f"{tmp_path}/{name}/s.tar", split="train").labels.tolist() for name in ("A", "B")]
    assert labels == [[0], [1]]


def test_shard_replaced_by_one_of_the_same_size_and_mtime(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0)), ("a.cls", b"3")])
    os.utime(path, ns=(10**18, 10**18))
    assert open_source(str(path), split="train").labels.tolist() == [3]
    changed = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == changed:  # the kernel's clock moves in steps of milliseconds
        write_tar(path, [("a.jpg", jpeg(0)), ("a.cls", b"4")])
        os.utime(path, ns=(10**18, 10**18))
    assert open_source(str(path), split="train").labels.tolist() == [4]


def test_what_killed_writers_left_in_the_cache_is_removed(pattern, monkeypatch, tmp_path):
    cache = tmp_path / "cache"
    monkeypatch.setenv("LADDER_HUB_CACHE", str(cache))
    cache.mkdir()
    for name in ("old.partial", "fresh.partial"):
        (cache / name).write_bytes(b"x")
    os.utime(cache / "old.partial", (0, 0))
    open_source(pattern, split="train")
    assert sorted(file.suffix or file.name for file in cache.iterdir()) == [".npz", ".partial"]
    assert (cache / "fresh.partial").exists()


def test_cache_that_cannot_be_written(pattern, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "file"))
    assert len(open_source(pattern, split="train")) == 12


# -- shards that are refused --


def message(path):
    with pytest.raises(DataError) as caught:
        open_source(str(path), split="train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("evil.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    assert message(path) == f"{path}: the member 'evil.jpg' is a link or a device; shards hold plain files only"


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "x/../../a.jpg"])
def test_names_that_leave_the_archive(tmp_path, name):
    path = write_tar(tmp_path / "s.tar", [(name, jpeg(0))])
    assert message(path) == f"{path}: the member {name!r} points out of the archive; pack it with relative names"


@pytest.mark.parametrize("cut", ["in a header", "in the data", "between members"])
def test_cut_shard(tmp_path, cut):
    data = bytes(range(256)) * 8  # four blocks
    whole = write_tar(tmp_path / "whole.tar", [("a.jpg", data), ("b.jpg", data)]).read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[: {"in a header": 2560 + 100, "in the data": 4000, "between members": 2560}[cut]])
    said = message(path)
    assert said.startswith(f"{path} is cut short")
    assert said.endswith("copy it again")


def test_damaged_header_in_the_middle(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", b"x" * 512), ("b.jpg", b"x")])
    data = bytearray(path.read_bytes())
    data[1024 + 10] ^= 0xFF
    path.write_bytes(data)
    assert message(path) == f"{path} is cut short or damaged at byte 1024: no end mark; copy it again"


def test_not_a_tar_and_compressed(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(b"hello" * 500)
    assert message(path).startswith(f"{path} is not a tar archive (")
    path.write_bytes(gzip.compress(write_tar(tmp_path / "t.tar", [("a.jpg", jpeg(0))]).read_bytes()))
    assert message(path) == f"{path} is compressed and can't be read as it is; unpack it to a plain .tar first"


def test_empty_file_and_no_images(tmp_path):
    (tmp_path / "e.tar").write_bytes(b"")
    assert message(tmp_path / "e.tar").startswith(f"{tmp_path}/e.tar is ")
    path = write_tar(tmp_path / "s.tar", [("a.txt", b"x")])
    assert message(path) == f"no image in {path}: its 1 shard(s) hold other files only"


def test_class_that_is_no_number(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0)), ("a.cls", b"cat")])
    assert message(path) == f"{path}: a.cls holds 'cat', not a class number"


def test_class_number_beyond_64_bits(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0)), ("a.cls", b"9" * 20)])
    assert message(path) == f"{path}: a.cls holds {'9' * 20}, too large for a class number"


def test_sparse_member_is_refused(tmp_path):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,3",
            "GNU.sparse.size": "9",
        }
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    assert "is a link or a device" in message(path)


def hostile(path, change):
    """A good shard of which the second header is rewritten: `change` gets its block and gives another."""
    whole = bytearray(write_tar(path, [("a.jpg", jpeg(0)), ("b.jpg", b"x")]).read_bytes())
    start = 512 + (len(jpeg(0)) + 511) // 512 * 512
    block = bytearray(change(bytes(whole[start : start + 512])))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    whole[start : start + 512] = block
    path.write_bytes(whole)
    return f"{path} is damaged after byte {start}: ", message(path)


def test_a_size_below_zero_is_no_endless_loop(tmp_path):
    back = b"\xff" + (-512 % 2**88).to_bytes(11, "big")
    begin, said = hostile(tmp_path / "s.tar", lambda block: block[:124] + back + block[136:])
    assert said == begin + "a size below 0, which leads back to where it was; copy it again"


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"])
def test_an_extended_header_takes_no_memory_on_trust(tmp_path, kind):
    begin, said = hostile(
        tmp_path / "s.tar", lambda block: block[:124] + b"%011o\0" % 10**9 + block[136:156] + kind + block[157:]
    )
    assert said == begin + "an extended header of 1000000000 bytes; copy it again"


def test_names_with_control_characters_or_of_absurd_length(tmp_path):
    what = "a name of more than 1024 letters, or with a control character; rename it"
    path = write_tar(tmp_path / "s.tar", [("a\nb.jpg", jpeg(0))])
    assert message(path) == f"{path}: the member 'a\\nb.jpg' has {what}"
    path = write_tar(tmp_path / "s.tar", [("a" * 2000 + ".jpg", jpeg(0))])
    assert message(path) == f"{path}: the member '{'a' * 120}…' has {what}"


@pytest.mark.parametrize(
    "changes", [{"size": 2**60}, {"offset": 2**60}, {"offset": -1}, {"shard": 7}, {"label": 2**40}]
)
def test_a_kept_index_that_leads_out_of_the_shards_is_made_anew(pattern, monkeypatch, tmp_path, changes):
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    open_source(pattern, split="train")
    (file,) = (tmp_path / "cache").iterdir()
    with np.load(file) as arrays:
        kept = dict(arrays)
    for name, value in changes.items():
        kept[name] = np.full_like(kept[name], value)
    np.savez(file, **kept)
    assert (open_source(pattern, split="train").image(11) == decode(jpeg(11))).all()
    with np.load(file) as arrays:
        assert arrays["offset"].max() < 10**6


def test_a_packed_index_is_not_unpacked(pattern, monkeypatch, tmp_path):
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    open_source(pattern, split="train")
    (file,) = (tmp_path / "cache").iterdir()
    with np.load(file) as arrays:
        np.savez_compressed(tmp_path / "packed.npz", **arrays)
    (tmp_path / "packed.npz").replace(file)
    built = []
    build = tar_cache.build_index
    monkeypatch.setattr(tar_cache, "build_index", lambda *args, **kwargs: built.append(1) or build(*args, **kwargs))
    assert len(open_source(pattern, split="train")) == 12
    assert built == [1]


@pytest.mark.parametrize(
    ("names", "taken", "left_out"),
    [
        (["cam0.0001.jpg", "cam0.0002.jpg", "cam1.0001.jpg"], [0, 1, 2], 0),
        (["2024.01.02.jpg", "2024.01.03.jpg", "john.doe.jpg", "john.smith.png"], [0, 1, 2, 3], 0),
        (["a.jpg", "a.jpg", "b.JPG", "b.jpg"], [0, 1, 2, 3], 0),
        (["a.jpg", "a.cls", "b.jpg", "b.cls"], [0, 2], 0),
        (["a.depth.png", "a.jpg", "b.jpg", "b.seg.png", "b.png"], [1, 2], 3),
    ],
)
def test_no_picture_of_a_shard_vanishes(tmp_path, names, taken, left_out):
    """Every picture is an image, or counted and named; at random places as from front to end."""
    members = [(name, b"3" if name.endswith(".cls") else jpeg(i)) for i, name in enumerate(names)]
    path = write_tar(tmp_path / "s.tar", members)
    for _ in range(2):  # read, and from the cache
        source = open_source(str(path), split="train")
        assert [source.key(i) for i in range(len(source))] == [f"s.tar:{names[i]}" for i in taken]
        assert all(source.content(place) == members[i][1] for place, i in enumerate(taken))
        assert source.left_out[0] == left_out
        pictures = [name for name in names if not name.endswith(".cls")]
        assert len(source) + left_out == len(pictures)
        assert [note.split(" are")[0] for note in notes_of(source)] == [f"{left_out} other pictures"] * bool(left_out)
    said: list[str] = []
    shard = TarShard(path.as_uri(), FirstLeftOut(said.append))
    for _ in range(2):  # two epochs
        assert [stored.key for stored in shard.read()] == [f"s.tar:{names[i]}" for i in taken]
    assert [line.partition(" are left out")[0] for line in said] == [
        "data.train: pictures beside the image of their key"
    ] * bool(left_out)


def test_which_image_lacks_a_label_is_known(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("a.jpg", jpeg(0)), ("a.cls", b"0"), ("b.jpg", jpeg(1))])
    source = open_source(str(path), split="train")
    assert (source.labels, source.unlabelled) == (None, "s.tar:b.jpg")
    with pytest.raises(UserError, match="is without labels because s.tar:b.jpg has none"):
        check_labels(source, source)
