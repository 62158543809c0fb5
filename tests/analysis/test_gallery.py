"""The gallery: every model has a page, every link leads somewhere, nothing of anybody else's is touched."""

import json
from pathlib import Path

import pytest
from artifact_factory import make_artifact, metric
from pages import Page

from ladder_hub import registry
from ladder_hub.analysis.gallery.cards import rendered
from ladder_hub.analysis.gallery.site import gallery
from ladder_hub.errors import UserError
from ladder_hub.ledger import read_ledger
from ladder_hub.recipe import load_recipe

RECIPE = load_recipe("tiny64_byol", ["model.backbone=test_resnet", "data.train=x"])
NAME = "mine_r10.shapes"
HOSTILE = """---
license: mit
---

# Mine

<script>alert(1)</script> and [a link](javascript:alert(1)), [another](https://example.org/paper), [a file](notes.md).

![curves](https://example.org/curves.png)

| a | b |
| --- | --- |
| `x` \\| y | 1 < 2 |

```python
model = "<b>"
```
"""


def pages(folder: Path) -> dict[str, Page]:
    return {path.name: Page(path.read_text()) for path in folder.glob("*.html")}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return gallery([f"out={tmp_path_factory.mktemp('gallery') / 'site'}"]).index.parent


@pytest.fixture
def zoo(tmp_path, monkeypatch) -> Path:
    """A zoo with one published model and one that is but a recipe; the first one's card is hostile."""
    make_artifact(tmp_path / "zoo" / NAME, recipe=RECIPE)
    (tmp_path / "zoo" / NAME / "README.md").write_text(HOSTILE)
    (tmp_path / "zoo" / NAME / "model.safetensors").unlink()
    lines = [f'["{NAME}"]', 'architecture = "test_resnet"', 'recipe = "tiny64_byol"', 'status = "published"']
    lines += ['repository = "org/mine"', 'revision = "0123abc"', 'sha256 = "ff"', 'license = "mit"', '["b_r18.x"]']
    lines += ['architecture = "resnet18"', 'recipe = "tiny64_ladder_byol"', 'status = "recipe only"']
    (tmp_path / "zoo" / "index.toml").write_text("\n".join(lines))
    monkeypatch.setattr(registry, "shipped", tmp_path.joinpath)
    return tmp_path / "zoo"


def test_a_page_a_model_and_every_link_leads_somewhere(site: Path) -> None:
    found = pages(site)
    assert found.keys() == {f"{name}.html" for name in registry.entries()} | {"index.html", "ledger.html"}
    for name, page in found.items():
        assert page.check() == [], name
        assert set(page.addresses) <= found.keys() | {"https://arxiv.org/abs/2211.13844"}, name  # cards cite the paper
    assert set(found["index.html"].addresses) == found.keys() - {"index.html"}


def test_the_ledger_has_every_entry_and_whose_each_figure_is(site: Path) -> None:
    text = pages(site)["ledger.html"].text
    for entry in read_ledger():
        assert entry.recipe in text
        assert all(other.source in text for other in entry.others)
    assert "ImageNet linear, top-1 71.7" in text
    assert "VOC 2012 segmentation, mIoU 67.16" in text


def test_a_model_without_weights_says_what_trains_it(site: Path) -> None:
    for name, entry in registry.entries().items():
        text = pages(site)[f"{name}.html"].text
        assert entry.command in text
        assert entry.published or "No weights are published yet" in text
    page = Page((site / "ladder_byol_r50.in1k_200e.html").read_text())
    assert 'ladder_hub.create_model("ladder_byol_r50", pretrained=True, features_only=True)' in page.text
    assert 'torch.hub.load("ORG/REPOSITORY", "ladder_byol_r50", pretrained=True)' in page.text
    assert "VOC 2012 segmentation, mIoU67.41, 2, 4" in page.text
    assert "nobody has measured them on weights of this zoo" in page.text


def test_a_published_model_with_figures_and_a_hostile_card(zoo, tmp_path) -> None:
    site = gallery([f"out={tmp_path / 'site'}"])
    assert site.models == 2
    page = Page((tmp_path / "site" / f"{NAME}.html").read_text())
    assert page.check() == []
    assert set(page.addresses) == {
        *("index.html", "https://huggingface.co/org/mine/tree/0123abc", "https://example.org/paper")
    }
    assert len(page.scripts) == 1
    assert "<script>alert(1)</script> and [a link](javascript:alert(1)), another, a file." in page.text
    assert "(curves)" in page.text
    assert "hf-hub:org/mine@0123abc" in page.text
    assert "43.238.9 to 47.650012.3" in page.text
    assert "license: mit" not in page.text
    assert "knn:k20-t0.07 res5 top1" in Page(site.index.read_text()).text


def test_a_card_goes_below_the_headings_of_the_page() -> None:
    kinds = [element.tag for element in rendered("# A\n\n## B\n\ntext\n\n###### C\n")]
    assert kinds == ["h3", "h4", "p", "h6"]


def test_a_damaged_zoo_writes_nothing(zoo, tmp_path) -> None:
    (zoo / NAME / "metrics.json").write_text(json.dumps([metric(value=7, weights="w")]))
    with pytest.raises(UserError, match="metrics.json"):
        gallery([f"out={tmp_path / 'site'}"])
    assert [path.name for path in tmp_path.iterdir()] == ["zoo"]


def test_a_former_gallery_is_renewed_and_foreign_files_stay(zoo, tmp_path) -> None:
    site = tmp_path / "site"
    gallery([f"out={site}"])
    (site / "CNAME").write_text("models.example.org")
    (site / "notes.html").write_text("<!doctype html>mine")
    index = (zoo / "index.toml").read_text()
    (zoo / "index.toml").write_text(index[index.index('["b_r18.x"]') :])
    gallery([f"out={site}"])
    assert {path.name for path in site.iterdir()} == {
        *("CNAME", "notes.html", "index.html", "ledger.html", "b_r18.x.html")
    }
    assert (site / "notes.html").read_text() == "<!doctype html>mine"


@pytest.mark.parametrize("name", ["index.html", "thesis.txt"])
def test_a_folder_of_something_else_is_refused(name, tmp_path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="is no gallery and not empty"):
        gallery([f"out={tmp_path}"])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_foreign_file_under_a_page_s_name_is_refused(zoo, tmp_path) -> None:
    site = tmp_path / "site"
    gallery([f"out={site}"])
    (site / "b_r18.x.html").write_text("mine")
    before = (site / "index.html").read_bytes()
    with pytest.raises(UserError, match=r"b_r18.x.html is not of a gallery's making"):
        gallery([f"out={site}"])
    assert (site / "b_r18.x.html").read_text() == "mine"
    assert (site / "index.html").read_bytes() == before


def test_a_file_in_the_folder_s_place(tmp_path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UserError, match="is a file; name a folder"):
        gallery([f"out={tmp_path / 'site'}"])


def test_an_empty_folder_will_do(zoo, tmp_path) -> None:
    (tmp_path / "site").mkdir()
    gallery([f"out={tmp_path / 'site'}"])
    assert (tmp_path / "site" / "index.html").is_file()
