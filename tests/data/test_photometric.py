"""Each operation alone, then the whole chain, against torchvision: in floats as on a GPU, in bytes as on a CPU."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from pictures import policy

from ladder_hub.data import photometric, photometric_bytes
from ladder_hub.data.chance import view_uniforms
from ladder_hub.data.photometric import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PARAMS,
    PHOTOMETRIC_NUMBERS,
    augment,
    draw,
    normalise,
    normalise_,
)

SIDE = 32


def images(count=6, side=SIDE):
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    batch[0] = batch[0, :1]  # one grey image: hue and saturation have nothing to hold on to
    batch[1, :, : side // 2] = 0
    batch[1, :, side // 2 :] = 255
    return batch


def neutral(count):
    row = [0, 1, 1, 1, 0, 0, 1, 2, 3, 0, 0, 0]
    return torch.tensor([row] * count, dtype=torch.float32)


def torchvision_view(image, row):
    """The definition: one image, one row, torchvision's functions in the documented order."""
    x = image.float() / 255
    jitters = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    if row[0]:
        for number in row[5:9].astype(int):
            x = jitters[number](x, float(row[1 + number])).clamp(0, 1)
    if row[9]:
        x = F.rgb_to_grayscale(x, num_output_channels=3)
    if row[10]:
        size = 2 * int(0.1 * image.shape[-1] / 2) + 1
        x = F.gaussian_blur(x, [size, size], [float(row[10])] * 2)
    return F.solarize(x, 0.5) if row[11] else x


def torchvision_bytes(image, row):
    """The same with torchvision's operations for uint8 images."""
    x = image
    jitters = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    if row[0]:
        for number in row[5:9].astype(int):
            x = jitters[number](x, float(row[1 + number]))
    if row[9]:
        x = F.rgb_to_grayscale(x, num_output_channels=3)
    if row[10]:
        size = 2 * int(0.1 * image.shape[-1] / 2) + 1
        x = F.gaussian_blur(x, [size, size], [float(row[10])] * 2)
    return F.solarize(x, 128) if row[11] else x


def in_floats(batch, params):
    """What a GPU does, here."""
    return photometric._in_groups(photometric._steps(params), batch.float().contiguous().div_(255))


def rows_of(chosen, count=4000, seed=0):
    numbers = view_uniforms(PHOTOMETRIC_NUMBERS, seed=seed, epoch=0, indices=range(count), views=1)
    return draw(chosen, numbers[:, 0])


def params_of(count, seed, **changes):
    return torch.from_numpy(rows_of(policy(**changes), count, seed))


def check(batch, params, atol=2e-6):
    ours = in_floats(batch, params)
    assert ours.dtype == torch.float32
    assert ours.shape == batch.shape
    assert ours.is_contiguous()
    theirs = torch.stack([torchvision_view(image, row) for image, row in zip(batch, params.numpy(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize("column", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_brightness_contrast_saturation(column, factor):
    params = neutral(6)
    params[:, 0], params[:, column] = 1, factor
    check(images(), params)


@pytest.mark.parametrize("shift", [-0.5, -0.1, -0.03, 0.07, 0.1, 0.5])
def test_hue(shift):
    params = neutral(6)
    params[:, 0], params[:, 4] = 1, shift
    check(images(), params, atol=5e-6)


@pytest.mark.parametrize("column", [9, 11], ids=["grey", "solarize"])
def test_grey_and_solarize(column):
    params = neutral(6)
    params[:, column] = 1
    check(images(), params)


@pytest.mark.parametrize("side", [32, 64, 70, 224])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur(side, sigma):
    params = neutral(3)
    params[:, 10] = sigma
    check(images(3, side), params)


@pytest.mark.parametrize(
    "column", [1, 2, 3, 4, 9, 11], ids=["brightness", "contrast", "saturation", "hue", "grey", "solarize"]
)
@pytest.mark.parametrize("value", [0.07, 0.6, 1.4])
def test_is_torchvisions_for_bytes_to_the_last_place(column, value):
    """Each operation alone on uint8 images, where torchvision cuts off what is behind the point."""
    if column == 4:
        value = value % 0.5
    elif column > 4:
        value = 1.0
    params, batch = neutral(6), images()
    params[:, 0], params[:, column] = column < 5, value
    operation = {
        1: F.adjust_brightness,
        2: F.adjust_contrast,
        3: F.adjust_saturation,
        4: F.adjust_hue,
        9: lambda x, _: F.rgb_to_grayscale(x, num_output_channels=3),
        11: lambda x, _: F.solarize(x, 128),
    }[column]
    theirs = operation(batch, value)
    floats = (in_floats(batch, params) * 255 + 1e-3).floor()
    assert (floats - theirs.float()).abs().max() <= 1
    # Saturation: torchvision cuts the grey off too. Hue: the wheel has 256 steps in bytes.
    apart = (augment(batch, params).float() - theirs.float()).abs()
    assert apart.max() <= {3: 2, 4: 12}.get(column, 1)
    assert apart.mean() <= 1


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur_of_bytes_is_torchvisions_to_the_last_place(sigma):
    params, batch = neutral(2), images(2, 224)
    params[:, 10] = sigma
    theirs = F.gaussian_blur(batch, [23, 23], [sigma, sigma]).float()
    assert ((in_floats(batch, params) * 255).round() - theirs).abs().max() <= 1
    assert (augment(batch, params).float() - theirs).abs().max() <= 2


@pytest.mark.parametrize("side", [32, 64, 224])
def test_bytes_are_torchvisions_over_many_draws(side):
    """Both on photographs' kind of picture: smooth, of all colours, with saturated patches."""
    batch = torch.nn.functional.interpolate(images(64, 8).float(), size=side, mode="bicubic").clamp(0, 255).byte()
    found = []
    for seed in range(4):
        params = params_of(64, seed)
        ours = augment(batch, params)
        theirs = torch.stack([torchvision_bytes(x, row) for x, row in zip(batch, params.numpy(), strict=True)])
        assert ours.dtype == torch.uint8
        assert ours.is_contiguous(memory_format=torch.channels_last)
        found += (ours.float() - theirs.float()).abs().mean(dim=(1, 2, 3)).tolist()
        untouched = (params[:, 0] == 0) & (params[:, 9:] == 0).all(1)
        assert torch.equal(ours[untouched], batch[untouched])
    assert len(found) == 256
    assert np.mean(found) < 0.5
    assert max(found) < 3


def test_floats_and_bytes_are_one_view():
    """What the two backends make of a draw lies as far apart as torchvision's floats and bytes: bytes are cut off."""
    batch, params = images(64, 64), params_of(64, 3, solarize=0.0)
    apart = (augment(batch, params) / 255 - in_floats(batch, params)).abs().mean(dim=(1, 2, 3)) * 255
    assert apart.mean() < 1.5
    assert apart.max() < 4


@pytest.mark.parametrize("value", range(0, 256, 5))
def test_bytes_of_one_colour_keep_it(value):
    """Neither the neutral values nor a blur darken: OpenCV's arithmetic adds up to one."""
    batch = torch.full((3, 3, 64, 64), value, dtype=torch.uint8)
    params = neutral(3)
    params[:, 0], params[0, 10], params[1, 10], params[2, 9] = 1, 0.7, 2.0, 1
    assert torch.equal(augment(batch, params), batch)


def test_every_operation_is_done_by_both_backends():
    named = {operation for operation, _, _ in photometric._steps(params_of(200, 0))}
    assert named == set(photometric._IN_FLOATS) == set(photometric_bytes._OPERATIONS)
    assert len(named) == 7


def test_threads_give_what_one_gives():
    batch, params = images(32, 64), params_of(32, 5)
    expected = augment(batch, params)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda _: augment(batch, params), range(16)))


def test_solarize_threshold_is_half_inclusive():
    params = neutral(1)
    params[:, 11] = 1
    batch = torch.tensor([127, 128], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 2, 2).contiguous()
    assert (in_floats(batch, params)[0, 0, 0] * 255).round().tolist() == [127, 127]
    assert augment(batch, params)[0, 0, 0].tolist() == [127, 127]


def test_whole_chain_every_sample_its_own():
    batch = images(64)
    params = params_of(64, 1)
    # A grey, blur or solarisation on top of the jitter's rounding: the solarisation may tip at 0.5 exactly.
    tipping = params[:, 11] > 0
    params[tipping, 0] = 0
    params[tipping, 10] = 0
    check(batch, params, atol=2e-5)


def test_a_sample_does_not_depend_on_its_neighbours():
    batch = images(16)
    params = params_of(16, 2, blur=1.0)
    for backend, tolerance in ((augment, 0), (in_floats, 1e-6)):
        whole = backend(batch, params)
        for place in (0, 5, 15):
            alone = backend(batch[place : place + 1], params[place : place + 1])
            torch.testing.assert_close(alone[0], whole[place], atol=tolerance, rtol=0)


def test_neutral_rows_leave_the_image_alone_and_the_input_too():
    batch = images()
    before = batch.clone()
    assert torch.equal(augment(batch, neutral(6)), batch)
    torch.testing.assert_close(in_floats(batch, neutral(6)), batch.float() / 255, atol=1e-7, rtol=0)
    params = neutral(6)
    params[:, 9:] = 1
    augment(batch, params)
    assert torch.equal(batch, before)


def test_autocast_does_not_touch_it():
    params = neutral(6)
    params[:, 10] = 1.3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = augment(images(), params)
    assert torch.equal(inside, augment(images(), params))


def test_channels_last_input():
    params = neutral(6)
    params[:, 0], params[:, 4], params[:, 10] = 1, 0.1, 1.0
    laid = images().contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(laid, params), augment(images(), params))
    assert torch.equal(in_floats(laid, params), in_floats(images(), params))


@pytest.mark.parametrize("side", [5, 64, 70])
def test_normalise_gives_the_same_bits_whatever_the_layout(side):
    laid = images(6, side).contiguous(memory_format=torch.channels_last)
    assert normalise(laid).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalise(laid), normalise(images(6, side)))


def test_draws_have_the_probabilities_and_ranges_asked_for():
    rows = rows_of(policy())
    assert rows.shape == (4000, PARAMS)
    assert rows.dtype == np.float32
    for column, share in ((0, 0.8), (9, 0.2), (11, 0.2)):
        assert abs(rows[:, column].mean() - share) < 0.03
    assert abs((rows[:, 10] > 0).mean() - 0.5) < 0.03
    for column, low, high in ((1, 0.6, 1.4), (2, 0.6, 1.4), (3, 0.8, 1.2), (4, -0.1, 0.1)):
        values = rows[:, column]
        assert low - 1e-6 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-6
    sigmas = rows[rows[:, 10] > 0, 10]
    assert 0.1 <= sigmas.min() < sigmas.max() <= 2.0
    orders = {tuple(row) for row in rows[:, 5:9].astype(int)}
    assert len(orders) == 24


def test_probabilities_zero_and_one():
    never = rows_of(policy(jitter=0.0, grey=0.0, blur=0.0, solarize=0.0), 50)
    assert not never[:, [0, 9, 10, 11]].any()
    always = rows_of(policy(jitter=1.0, grey=1.0, blur=1.0, solarize=1.0), 50)
    assert always[:, [0, 9, 10, 11]].all()


def test_a_probability_that_changes_leaves_other_draws_alone():
    some, none = rows_of(policy(), 50), rows_of(policy(blur=0.0, grey=0.0), 50)
    columns = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]
    np.testing.assert_array_equal(some[:, columns], none[:, columns])


def test_strength_above_one_does_not_give_negative_factors():
    assert rows_of(policy(brightness=1.5), 500)[:, 1].min() >= 0


def test_normalise():
    x = torch.rand(2, 3, 5, 5)
    normalise_bytes = normalise(images())
    expected = F.normalize(images().float() / 255, list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(normalise_bytes, expected, atol=1e-6, rtol=0)
    in_place = x.clone()
    assert normalise_(in_place) is in_place
    assert torch.equal(in_place, normalise(x))
    own = {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}
    torch.testing.assert_close(normalise(x, **own), F.normalize(x, **own), atol=2e-6, rtol=0)
    torch.testing.assert_close(normalise(x), F.normalize(x, list(IMAGENET_MEAN), list(IMAGENET_STD)), atol=1e-6, rtol=0)


def test_normalise_first_used_in_inference_mode_serves_training_too():
    with torch.inference_mode():
        normalise(torch.rand(1, 3, 2, 2), mean=(0.11, 0.12, 0.13))
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    normalise(x, mean=(0.11, 0.12, 0.13)).sum().backward()
    torch.testing.assert_close(x.grad[0, :, 0, 0], 1 / torch.tensor(IMAGENET_STD))


def test_normalise_builds_its_constants_once(monkeypatch):
    first = normalise(images(), mean=(0.21, 0.22, 0.23))
    monkeypatch.setattr(torch, "tensor", lambda *_: pytest.fail("built again"))
    assert torch.equal(normalise(images(), mean=[0.21, 0.22, 0.23]), first)


def test_groups_go_to_cuda_from_pinned_memory():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    params = params_of(6, 1, solarize=0.0)
    torch.testing.assert_close(augment(images().cuda(), params).cpu(), in_floats(images(), params), atol=1e-4, rtol=0)


def test_jitter_is_distributed_as_torchvisions():
    """Mean and spread of what becomes of one image, over draws: factors, order and their interplay."""
    import torchvision.transforms.v2 as T

    count = 1500
    image = images(3, 8)[2:]
    rows = rows_of(policy(jitter=1.0, grey=0.0, blur=0.0, solarize=0.0), count)
    ours = in_floats(image.expand(count, -1, -1, -1), torch.from_numpy(rows)).double()
    torch.manual_seed(0)
    jitter = T.ColorJitter(0.4, 0.4, 0.2, 0.1)
    theirs = torch.stack([jitter(image[0].float() / 255) for _ in range(count)]).double()
    error = ((ours.var(0) + theirs.var(0)) / count).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error + 1e-4).all()
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.15, atol=2e-3)
