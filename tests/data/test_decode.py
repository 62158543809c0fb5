"""Every kind of pixel against Pillow's own conversion, or against arithmetic where Pillow's is the trap."""

import io
import tracemalloc

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image, ImageOps, PngImagePlugin

from ladder_hub.data.decode import Encoded, decode, image_endings
from ladder_hub.data.jpeg import is_plain_jpeg

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (9, 13, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    tensor = decode(data)
    assert tensor.dtype == torch.uint8
    assert tensor.shape[0] == 3
    return tensor.permute(1, 2, 0).numpy()


def pillow(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000"])
def test_plain_rgb_is_what_pillow_gives(kind):
    data = encoded(Image.fromarray(RGB), kind)
    np.testing.assert_array_equal(pixels(data), pillow(data))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "JPEG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("1", "PNG"), ("P", "PNG"), ("YCbCr", "JPEG")],
)
def test_other_modes_are_what_pillow_converts(mode, kind):
    data = encoded(Image.fromarray(RGB).convert(mode), kind)
    np.testing.assert_array_equal(pixels(data), pillow(data))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_lies_on_white(mode):
    alpha = RNG.integers(0, 256, (9, 13), dtype=np.uint8)
    image = Image.fromarray(RGB).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    colour = np.array(image.convert("RGB")).astype(float)
    share = alpha[..., None] / 255
    expected = colour * share + 255 * (1 - share)
    assert np.abs(pixels(encoded(image)) - expected).max() <= 1


def test_transparent_palette_entry_becomes_white():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert pixels(encoded(image, transparency=0)).tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_transparent_key_colour_becomes_white():
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert pixels(encoded(image, transparency=(1, 2, 3))).tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 128, 257, 32768, 65535]], dtype=np.uint16)
    data = encoded(Image.fromarray(values), kind)
    assert pixels(data)[..., 0].tolist() == [[0, 0, 1, 128, 255]]
    assert pillow(data)[..., 0].tolist() != pixels(data)[..., 0].tolist()  # the trap is still there


def test_big_endian_16_bits():
    values = np.array([[0, 257, 65535]], dtype=">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    assert pixels(encoded(image, "TIFF"))[..., 0].tolist() == [[0, 1, 255]]


def test_32_bit_integers_within_16_bits_are_16_bit_values():
    values = np.array([[0, 257, 65535]], dtype=np.int32)
    assert pixels(encoded(Image.fromarray(values), "TIFF"))[..., 0].tolist() == [[0, 1, 255]]


def test_wider_integers_are_stretched_over_their_own_range():
    values = np.array([[-1000, 999_000, 1_999_000]], dtype=np.int32)
    assert pixels(encoded(Image.fromarray(values), "TIFF"))[..., 0].tolist() == [[0, 128, 255]]


def test_floats_from_0_to_1_and_beyond():
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    wide = Image.fromarray(np.array([[-2.0, 0.0, 2.0]], dtype=np.float32))
    for image in (unit, wide):
        assert pixels(encoded(image, "TIFF"))[..., 0].tolist() == [[0, 128, 255]]


def test_constant_float_image_is_no_division_by_zero():
    constant = Image.fromarray(np.full((2, 2), 7.0, dtype=np.float32))
    assert pixels(encoded(constant, "TIFF")).max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(10))
def test_camera_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RGB), kind, exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(pixels(data), expected)
    assert (expected.shape == (13, 9, 3)) == (orientation in range(5, 9))
    picture = Encoded(data)
    assert (picture.height, picture.width) == expected.shape[:2]


def test_orientation_that_only_xmp_knows():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(Image.fromarray(RGB), "JPEG", xmp=xmp)
    assert pixels(data).shape == (13, 9, 3)
    np.testing.assert_array_equal(pixels(data), np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


SMOOTH = Image.fromarray(RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((203, 101), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 5}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_what_pillow_gives(mode, options):
    data = encoded(SMOOTH.convert(mode), "JPEG", **options)
    assert is_plain_jpeg(data)
    np.testing.assert_array_equal(pixels(data), pillow(data))


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_read_smaller_as_pillow_drafts_it(reduction, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(SMOOTH, "JPEG", exif=exif)
    draft = Image.open(io.BytesIO(data))
    draft.draft(None, (draft.width // reduction, draft.height // reduction))
    read = Encoded(data).read(reduction)
    height, width = -(-101 // reduction), -(-203 // reduction)
    assert tuple(read.shape[1:]) == ((width, height) if orientation == 6 else (height, width))
    np.testing.assert_array_equal(read.permute(1, 2, 0).numpy(), np.array(ImageOps.exif_transpose(draft)))


def test_other_formats_are_read_whole_whatever_is_asked():
    assert Encoded(encoded(SMOOTH)).read(4).shape == (3, 101, 203)


def test_a_jpeg_whose_header_alone_is_sound_says_so_when_it_is_read():
    picture = Encoded(BIG[: len(BIG) // 2])
    assert (picture.height, picture.width) == (64, 64)
    for reduction in (1, 2):
        with pytest.raises(ValueError, match=r"^truncated$"):
            picture.read(reduction)


def test_damage_that_pillow_lives_with_is_pillows_to_mend():
    """A byte of the entropy-coded data is wrong: libjpeg warns, Pillow shows what there is."""
    data = bytearray(encoded(SMOOTH, "JPEG"))
    start = data.index(b"\xff\xda") + 40
    data[start : start + 8] = bytes([0x5A] * 8)
    data[-40:-30] = b"\xff\xd0" + bytes(8)
    with pytest.raises(ValueError, match=r"."):
        simplejpeg.decode_jpeg(bytes(data))
    np.testing.assert_array_equal(pixels(bytes(data)), pillow(bytes(data)))


def test_broken_exif_does_not_cost_the_image():
    data = encoded(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(pixels(data), pillow(data))


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((4, 4, 3), v, dtype=np.uint8)) for v in (10, 200)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (pixels(data) == 10).all()


def test_lies_channels_last_in_memory():
    assert decode(encoded(Image.fromarray(RGB))).stride() == (1, 39, 3)


BIG = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>404 Not Found</html>", "not an image"),
        (BIG[: len(BIG) // 2], "truncated"),
        (encoded(Image.fromarray(RGB))[:-30], "truncated"),
        (BIG[:20], "not an image"),
    ],
    ids=["empty", "html", "cut jpeg", "cut png", "header only"],
)
def test_says_in_a_few_words_what_is_wrong(data, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        decode(data)


@pytest.mark.parametrize("side", [1001, 2000], ids=["Pillow warns", "Pillow refuses"])
def test_decompression_bomb(monkeypatch, side):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(ValueError, match=r"^more than 1 million pixels$"):
        decode(encoded(Image.new("L", (side, side))))


def test_deep_images_are_scaled_a_few_rows_at_a_time():
    """300 KB of file were 4 GB while they were scaled."""
    values = np.zeros((4000, 1000), dtype=np.uint16)
    values[-1] = 65535
    values[0, 0] = 257
    data = encoded(Image.fromarray(values))
    tracemalloc.start()
    try:
        tensor = decode(data)
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tensor[0, :, 0].sum().item(), tensor[0, -1].sum().item(), tensor[0, 0, 0].item()) == (256, 255_000, 1)
    assert highest < 50e6  # 8 bytes a pixel, three times, were 96 MB


def test_reason_is_one_short_line():
    text = PngImagePlugin.PngInfo()
    text.add_text("k", "v")
    data = bytearray(encoded(Image.fromarray(RGB), pnginfo=text))
    data[20] ^= 0xFF  # the width: the header's checksum no longer fits
    with pytest.raises(ValueError, match=r"^.{1,80}$") as caught:
        decode(bytes(data))
    assert "\n" not in str(caught.value)


def test_endings():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm"} <= image_endings()
    assert not image_endings() & {".h5", ".eps", ".mpg", ".txt", ".tar", ".npy"}
