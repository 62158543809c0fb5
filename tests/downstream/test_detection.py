"""Mask R-CNN on a backbone of ours: its parts, its data, AP against pycocotools, pictures."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import coco_factory as factory
import numpy as np
import pytest
import torch
from artifact_factory import make_artifact
from coco_factory import HEIGHT, WIDTH, annotation, document
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from ladder_hub.downstream.detection import mask_rcnn
from ladder_hub.downstream.detection.coco import CocoError, CocoSet
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import encoded
from ladder_hub.downstream.detection.coco_reader import read_coco
from ladder_hub.downstream.detection.data import DetectionSource, TrainMaker, mirrored
from ladder_hub.downstream.detection.metrics import average_precision
from ladder_hub.downstream.detection.pictures import draw
from ladder_hub.downstream.metrics import wilson
from ladder_hub.downstream.subject import open_subject

SMALL = {"sizes": (64, 96), "max_side": 128, "channels": 16, "smallest_anchor": 8, "rois": 16, "proposals": 50}


def small(model: str = "random:test_resnet", **more: Any) -> Any:
    return mask_rcnn(open_subject(model).backbone, 3, **(SMALL | more))


def opened(folder: Path, coco: dict[str, Any], *, empty: str = "keep") -> tuple[CocoSet, CocoImages, DetectionSource]:
    found = read_coco(str(factory.write(folder, coco, "some.json")), key="data.train")
    images = CocoImages(str(folder / "images"), found, key="data.images")
    return found, images, DetectionSource(images, found, empty=empty)


# ---- the network ----


def test_every_part_has_the_norms_of_the_protocol_and_nothing_is_frozen() -> None:
    detector = small()
    norms = {
        part: sum(isinstance(module, nn.BatchNorm2d) for module in inner.modules())
        for part, inner in (
            ("fpn", detector.backbone.fpn),
            ("box", detector.roi_heads.box_head),
            ("mask", detector.roi_heads.mask_head),
            ("rpn", detector.rpn),
        )
    }
    assert norms == {"fpn": 8, "box": 4, "mask": 4, "rpn": 0}
    assert not any("Frozen" in type(module).__name__ for module in detector.modules())
    assert all(parameter.requires_grad for parameter in detector.parameters())


def test_the_defaults_are_the_protocols() -> None:
    detector = mask_rcnn(open_subject("random:test_resnet").backbone, 81)
    assert detector.transform.min_size == (640, 672, 704, 736, 768, 800)
    assert detector.transform.max_size == 1333
    assert detector.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert detector.rpn._pre_nms_top_n == {"training": 2000, "testing": 1000}
    assert detector.rpn._post_nms_top_n == {"training": 1000, "testing": 1000}
    heads = detector.roi_heads
    assert heads.fg_bg_sampler.batch_size_per_image == 512
    assert (heads.nms_thresh, heads.detections_per_img) == (0.5, 100)
    assert heads.box_predictor.cls_score.weight.shape == (81, 1024)
    assert heads.mask_predictor.mask_fcn_logits.weight.shape == (81, 256, 1, 1)
    assert detector.backbone.out_channels == 256


def test_loaded_weights_are_used_tensor_by_tensor(tmp_path: Path) -> None:
    """Every tensor of the backbone is the artifact's and not that of a network at random."""
    folder = make_artifact(tmp_path / "artifact")
    subject = open_subject(str(folder))
    loaded = mask_rcnn(subject.backbone, 3, **SMALL).backbone.body.body.state_dict()
    fresh = small().backbone.body.body.state_dict()
    assert loaded.keys() == fresh.keys()
    from safetensors.torch import load_file

    published = load_file(folder / "model.safetensors")
    for name, tensor in loaded.items():
        assert torch.equal(tensor, published[name]), name
        assert not torch.equal(tensor, fresh[name]), name


def target(*boxes: tuple[int, int, int, int]) -> dict[str, torch.Tensor]:
    masks = [torch.from_numpy(factory.rectangle(x, y, w, h)) for x, y, w, h in boxes]
    return {
        "boxes": torch.tensor([[x, y, x + w, y + h] for x, y, w, h in boxes], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.ones(len(boxes), dtype=torch.int64),
        "masks": torch.stack(masks) if masks else torch.zeros(0, HEIGHT, WIDTH, dtype=torch.uint8),
    }


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_one_step_moves_every_trained_parameter(name: str) -> None:
    torch.manual_seed(0)
    detector = small(f"random:{name}").train()
    before = {key: value.clone() for key, value in detector.named_parameters()}
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.1)
    losses = detector([torch.rand(3, HEIGHT, WIDTH) for _ in range(2)], [target((5, 5, 30, 30)), target()])
    sum(losses.values()).backward()
    optimizer.step()
    still = [key for key, value in detector.named_parameters() if torch.equal(value, before[key])]
    frozen = [key for key, value in detector.named_parameters() if not value.requires_grad]
    assert all(value.grad is not None for value in trained)
    # A layer scale of nearly nothing, and biases before a norm, may keep their value; a part may not.
    assert not [key for key in set(still) - set(frozen) if key.endswith("weight") and "body" not in key]
    assert len(still) < 0.2 * len(before)
    assert all("body.body" in key for key in frozen)


def test_images_without_objects_alone_are_learned_from_too() -> None:
    losses = small().train()([torch.rand(3, HEIGHT, WIDTH) for _ in range(2)], [target(), target()])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()


def test_predictions_are_in_the_images_own_pixels() -> None:
    torch.manual_seed(0)
    detector = small(detections=7).eval()
    detector.roi_heads.score_thresh = 0.0
    for found in detector([torch.rand(3, HEIGHT, WIDTH), torch.rand(3, 50, 40)]):
        height, width = found["masks"].shape[-2:]
        assert (height, width) in ((HEIGHT, WIDTH), (50, 40))
        assert len(found["boxes"]) == 7
        assert found["boxes"][:, 2].max() <= width
        assert set(found["labels"].tolist()) <= {1, 2}


# ---- the data ----


def test_targets_are_the_usable_annotations(tmp_path: Path) -> None:
    coco = document(3)
    coco["annotations"] += [annotation(70, 100, (1, 1, 9, 9), iscrowd=1)]
    coco["annotations"] += [
        annotation(71, 100, (2, 2, 5, 5), bbox=[2, 2, 0.4, 5], segmentation=factory.segmentation("rle", 2, 2, 1, 5))
    ]
    _, _, source = opened(tmp_path, coco)
    found = source.target(0)
    assert found["labels"].tolist() == [1, 2]
    for box, mask, row in zip(found["boxes"], found["masks"], coco["annotations"], strict=False):
        x, y, w, h = row["bbox"]
        assert box.tolist() == [x, y, x + w, y + h]
        np.testing.assert_array_equal(mask.numpy(), factory.rectangle(x, y, w, h))
    empty = source.target(2)
    assert [tuple(empty[key].shape) for key in ("boxes", "labels", "masks")] == [(0, 4), (0,), (0, HEIGHT, WIDTH)]


def test_images_without_a_target_are_kept_or_dropped(tmp_path: Path) -> None:
    coco = document(4, empty=2)
    coco["annotations"] += [annotation(70, 102, (1, 1, 9, 9), iscrowd=1)]
    assert [opened(tmp_path, coco)[2].key(number) for number in range(4)] == [f"{n}.a.png" for n in range(4)]
    dropped = opened(tmp_path, coco, empty="drop")[2]
    assert [dropped.key(number) for number in range(len(dropped))] == ["0.a.png", "1.a.png"]
    crowds = {**coco, "annotations": coco["annotations"][-1:]}
    with pytest.raises(CocoError, match="no image with anything to learn from"):
        opened(tmp_path, crowds, empty="drop")


def test_mirroring_moves_boxes_and_masks_together(tmp_path: Path) -> None:
    _, _, source = opened(tmp_path, document(2))
    image, found = mirrored(source.image(0), source.target(0))
    for box, mask in zip(found["boxes"], found["masks"], strict=True):
        left, top, right, bottom = (int(number) for number in box)
        assert mask.sum() == mask[top:bottom, left:right].sum() == (right - left) * (bottom - top)
        assert image[:, top + 1, left + 1].tolist() != [120, 120, 120]
    back, again = mirrored(image, found)
    assert torch.equal(back, source.image(0))
    assert all(torch.equal(again[key], value) for key, value in source.target(0).items())


def test_a_batch_is_a_function_of_seed_epoch_and_image(tmp_path: Path) -> None:
    _, _, source = opened(tmp_path, document(6))
    maker, requests = TrainMaker(source, 3, 0.5), [(epoch, index) for epoch in range(3) for index in range(6)]
    images, targets = maker.make(requests).inputs
    alone = [maker.make([request]).inputs for request in reversed(requests)][::-1]
    assert all(torch.equal(image, one[0][0]) for image, one in zip(images, alone, strict=True))
    assert all(torch.equal(t["boxes"], one[1][0]["boxes"]) for t, one in zip(targets, alone, strict=True))
    flipped = sum(
        not torch.equal(image, source.image(index)) for image, (_, index) in zip(images, requests, strict=True)
    )
    assert 0 < flipped < len(requests)
    other = TrainMaker(source, 4, 0.5).make(requests).inputs[0]
    assert not all(torch.equal(a, b) for a, b in zip(images, other, strict=True))


def test_an_image_that_cannot_be_decoded_is_replaced_with_its_own_target(tmp_path: Path) -> None:
    _, _, source = opened(tmp_path, document(3))
    (tmp_path / "images" / "0.a.png").write_bytes(b"no image")
    made = TrainMaker(source, 0, 0.0).make([(0, 0)])
    assert made.bad == [("0.a.png", "not an image")]
    assert torch.equal(made.inputs[0][0], source.image(1))
    assert torch.equal(made.inputs[1][0]["boxes"], source.target(1)["boxes"])


# ---- AP ----


def as_results(coco: dict[str, Any], rng: np.random.Generator, *, blur: float = 4.0) -> list[dict[str, Any]]:
    """Predictions near the truth, and some far from it."""
    results = []
    for row in coco["annotations"] * 2:
        x, y, w, h = (int(number) for number in row["bbox"])
        x, y = (
            np.clip([x + rng.normal() * blur, y + rng.normal() * blur], 0, [WIDTH - w, HEIGHT - h]).astype(int).tolist()
        )
        mask = torch.from_numpy(factory.rectangle(x, y, w, h))[None].bool()
        category = row["category_id"] if rng.random() < 0.8 else 97 - row["category_id"]
        results.append(
            {
                "image_id": row["image_id"],
                "category_id": category,
                "bbox": [x, y, w, h],
                "score": round(float(rng.random()), 4),
                "segmentation": encoded(mask)[0],
            }
        )
    return results


def reference(coco: dict[str, Any], results: list[dict[str, Any]], kind: str, detections: int = 100) -> list[float]:
    """pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(coco)
        truth.createIndex()
        found = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), {"box": "bbox", "mask": "segm"}[kind])
        found.params.maxDets = [detections]
        found.evaluate()
        found.accumulate()
        precision = found.eval["precision"]  # thresholds, recalls, categories, sizes, detections
    picked = [precision[..., 0, 0], precision[0, ..., 0, 0], precision[5, ..., 0, 0]]
    picked += [precision[..., size, 0] for size in (1, 2, 3)]
    return [values[values > -1].mean() if (values > -1).any() else -1 for values in picked]


def crowded(count: int = 12) -> dict[str, Any]:
    coco = document(count)
    for row in coco["annotations"][::5]:
        row["iscrowd"] = 1
        row["segmentation"] = factory.segmentation("rle", *row["bbox"])
    coco["annotations"][1]["area"] = 33.0**2  # a medium one
    return coco


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_ap_is_that_of_pycocotools(kind: Any, tmp_path: Path) -> None:
    coco = crowded()
    found, _, _ = opened(tmp_path, coco)
    for seed in range(3):
        results = as_results(coco, np.random.default_rng(seed))
        for detections in (100, 1):
            ours = average_precision(found, results, kind, indices=range(12), detections=detections)
            expected = reference(coco, results, kind, detections)
            names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
            assert ours.values.keys() == {name for name, value in zip(names, expected, strict=True) if value > -1}
            for name, value in zip(names, expected, strict=True):
                assert ours.values.get(name, -1) == pytest.approx(value, abs=1e-6), (name, detections)
            assert 0 < ours.values["ap"] < 1


@pytest.mark.real
@pytest.mark.parametrize("kind", ["box", "mask"])
def test_ap_on_real_annotations_is_that_of_pycocotools(kind: Any, real_data: Path) -> None:
    path = real_data / "coco-mini" / "instances80_val.json"
    found, coco = read_coco(str(path), key="data.val"), json.loads(path.read_text())
    rng = np.random.default_rng(0)
    results = []
    for index in range(len(found)):
        for row in found.to_json([index])["annotations"]:
            height, width = found.sizes[index].tolist()
            mask = np.zeros((height, width), dtype=np.uint8)
            x, y, w, h = (max(0, int(number + rng.normal() * 3)) for number in row["bbox"])
            mask[y : y + h, x : x + w] = 1
            results.append({**row, "bbox": [x, y, w, h], "score": rng.random()})
            results[-1]["segmentation"] = encoded(torch.from_numpy(mask)[None].bool())[0]
    ours = average_precision(found, results, kind, indices=range(len(found)))
    assert list(ours.values.values()) == pytest.approx(reference(coco, results, kind), abs=1e-6)


def truth_as_results(coco: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": row["bbox"],
            "score": 0.9,
            "segmentation": encoded(torch.from_numpy(factory.rectangle(*row["bbox"]))[None].bool())[0],
        }
        for row in coco["annotations"]
    ]


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_an_oracle_scores_one_and_silence_nothing(kind: Any, tmp_path: Path) -> None:
    coco = document(6)
    found, _, _ = opened(tmp_path, coco)
    best = average_precision(found, truth_as_results(coco), kind, indices=range(6))
    assert best.values == {"ap": 1.0, "ap50": 1.0, "ap75": 1.0, "ap_small": 1.0}
    assert best.intervals == dict.fromkeys(("ap", "ap50", "ap75"), wilson(1.0, 6))  # six images make none sure
    assert average_precision(found, [], kind, indices=range(6)).values["ap"] == 0


def test_labels_shuffled_lower_it(tmp_path: Path) -> None:
    coco = document(6)
    found, _, _ = opened(tmp_path, coco)
    wrong = [{**row, "category_id": 97 - row["category_id"]} for row in truth_as_results(coco)]
    assert average_precision(found, wrong, "box", indices=range(6)).values["ap"] < 0.2


def test_an_image_drawn_twice_counts_twice(tmp_path: Path) -> None:
    """The bootstrap's figure is AP on a set in which the images really stand so often."""
    from ladder_hub.downstream.detection.metrics import _evaluated, _Resampled

    coco = crowded(6)
    found, _, _ = opened(tmp_path, coco)
    results = as_results(coco, np.random.default_rng(1))
    resampled = _Resampled(_evaluated(found, results, "box", range(6), 100, sizes=False))
    counts = np.array([2, 0, 1, 0, 3, 0])
    many: dict[str, Any] = {"images": [], "annotations": [], "categories": coco["categories"]}
    guesses = []
    for index, count in enumerate(counts):
        for copied in range(count):
            old, new = 100 + index, 1000 + 10 * index + copied
            many["images"].append({**coco["images"][index], "id": new})
            own = [row for row in coco["annotations"] if row["image_id"] == old]
            many["annotations"] += [
                {**row, "image_id": new, "id": 1 + number + len(many["annotations"])} for number, row in enumerate(own)
            ]
            guesses += [{**row, "image_id": new} for row in results if row["image_id"] == old]
    expected = reference(many, guesses, "box")[:3]
    assert [resampled.value(which, counts) for which in range(3)] == pytest.approx(expected, abs=1e-9)


def test_the_interval_lies_around_the_figure(tmp_path: Path) -> None:
    coco = crowded()
    found, _, _ = opened(tmp_path, coco)
    ours = average_precision(found, as_results(coco, np.random.default_rng(0)), "mask", indices=range(12))
    assert ours.intervals.keys() == {"ap", "ap50", "ap75"}
    for name, (low, high) in ours.intervals.items():
        assert low < ours.values[name] < high
    assert ours.n == 12


# ---- pictures ----


def test_a_picture_shows_truth_and_predictions_side_by_side(tmp_path: Path) -> None:
    coco = document(2)
    found, images, _ = opened(tmp_path, coco)
    draw(tmp_path / "with.png", images, found, truth_as_results(coco)[:2], 0)
    draw(tmp_path / "without.png", images, found, [], 0)
    both, left_only = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int) for name in ("with.png", "without.png")
    )
    assert both.shape == left_only.shape == (22 + 480 * HEIGHT // WIDTH, 2 * 480 + 8, 3)
    half = both.shape[1] // 2
    np.testing.assert_array_equal(both[22:, : half - 4], left_only[22:, : half - 4])
    assert (both[22:, half + 4 :] != left_only[22:, half + 4 :]).any(2).mean() > 0.05


def test_where_masks_overlap_the_picture_stays_coloured(tmp_path: Path) -> None:
    found, images, _ = opened(tmp_path, document(2))
    box = {"image_id": 100, "category_id": 7, "score": 0.9, "bbox": [10, 10, 40, 40]}
    masks = [encoded(torch.from_numpy(factory.rectangle(10, 10, 40, 40))[None].bool())[0]] * 2
    draw(tmp_path / "two.png", images, found, [{**box, "segmentation": mask} for mask in masks], 0)
    pixels = np.asarray(Image.open(tmp_path / "two.png").convert("RGB"))
    centre = pixels[22 + 30 * 480 // WIDTH, 480 + 8 + 30 * 480 // WIDTH]
    assert centre.max() > 60
