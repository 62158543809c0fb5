"""metrics.json: which figures are of the same thing, and which say by content what they are of."""

from ladder_hub.metrics_file import merged, names_content


def figure(value: float, content: str | None = None, digest: str = "d") -> dict:
    part = {"name": "x", "digest": digest} | ({} if content is None else {"content": content})
    same = {"protocol": "knn:k20-t0.07", "stage": "res5", "metric": "top1", "weights": "w"}
    return {**same, "value": value, "data": {"train": part, "val": part}}


def values(*entries: list[dict]) -> list[float]:
    return [entry["value"] for entry in merged(*entries)]


def test_other_content_under_the_same_listing_is_another_figure() -> None:
    assert values([figure(0.1, "a")], [figure(0.2, "b")]) == [0.1, 0.2]
    assert values([figure(0.1, "a")], [figure(0.2, "a")]) == [0.2]


def test_a_figure_from_before_content_was_named_gives_way_to_one_of_its_listing() -> None:
    assert values([figure(0.1)], [figure(0.2, "a")]) == [0.2]
    assert values([figure(0.1, digest="other")], [figure(0.2, "a")]) == [0.1, 0.2]


def test_both_sets_must_be_named_by_content() -> None:
    whole, part = figure(0.1, "a"), figure(0.1, "a")
    part["data"]["train"] = {"digest": "d"}
    assert [names_content(entry) for entry in (whole, part, figure(0.1), {"data": {"val": "text"}})] == [
        *(True, False, False, False)
    ]
