"""Report and gallery in headless Chromium: no complaint, no request, a phone's width, the keyboard, a screen reader."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium
from rich.console import Console
from run_factory import make_run, small

from ladder_hub.analysis.gallery.site import gallery
from ladder_hub.analysis.report.page import report
from ladder_hub.check.run import check

PHONE = 360
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
WIDER = "document.documentElement.scrollWidth > innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    chromium = Chromium()
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def pages(browser, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        make_run(folder / "ladder", small("tiny64_ladder_byol")),
        make_run(folder / "a-run-of-a-very-long-name-indeed<b>", small("tiny64_byol"), finished=False),
    ]
    out = folder / "report.html"
    keys = ["data.images=shapes:4", "n=4", "maps=2", "device=cpu", f"out={out}"]
    report([str(run) for run in runs], keys, console=Console(quiet=True))
    site = gallery([f"out={folder / 'site'}"]).index
    words = ["data.train=shapes:6", "data.val=shapes:4", "data.workers=0", f"out={folder / 'check.html'}"]
    check("", words, console=Console(quiet=True))
    return {
        "check": folder / "check.html",
        "report": out,
        "gallery": site,
        "model": site.with_name("ladder_dense_r50.in1k_200e.html"),
    }


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, PHONE])
@pytest.mark.parametrize("name", ["check", "report", "gallery", "model"])
def test_it_renders_in_silence_and_fetches_nothing(name, width, dark, browser, pages) -> None:
    browser.open(pages[name], width=width, dark=dark)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [pages[name].as_uri()]
    assert not browser.evaluate(WIDER)
    assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    light = sum(map(int, re.findall(r"\d+", browser.evaluate(BACKGROUND))))
    assert (light < 200) == dark


@pytest.mark.parametrize("name", ["check", "report", "gallery", "model"])
def test_words_stand_out_from_the_page(name, browser, pages) -> None:
    """WCAG 2.2 AA: a contrast of 4.5 for text, light and dark."""
    for dark in (False, True):
        browser.open(pages[name], dark=dark)
        assert browser.evaluate(_LOW_CONTRAST) == []


@pytest.mark.parametrize("name", ["check", "report", "gallery", "model"])
def test_with_the_keyboard_alone(name, browser, pages) -> None:
    browser.open(pages[name])
    before = browser.evaluate(BACKGROUND)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    for _ in range(20):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.id") == "theme":
            break
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    assert browser.evaluate(BACKGROUND) != before
    assert browser.evaluate("document.activeElement.ariaPressed") == "true"


def test_what_scrolls_can_be_reached(browser, pages) -> None:
    browser.open(pages["report"], width=PHONE)
    assert browser.evaluate(
        "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
        "['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).every(e => e.tabIndex === 0)"
    )


@pytest.mark.parametrize("name", ["check", "report", "gallery", "model"])
def test_a_screen_reader_meets_names(name, browser, pages) -> None:
    browser.open(pages[name])
    names = browser.names()
    assert [
        role for role, told in names if role in ("image", "img", "region", "table", "link", "button") and not told
    ] == []
    roles = {role for role, _ in names}
    assert {"main", "banner", "heading"} <= roles
    if name == "report":
        images = [told for role, told in names if role in ("image", "img")]
        assert any(told.startswith("res5.global, loss (0 to 8), over samples seen. ladder: 8 → 0.8") for told in images)


def test_the_table_of_models_sorts(browser, pages) -> None:
    browser.open(pages["gallery"])
    column = "[...document.querySelectorAll('#models tbody tr')].map(row => row.cells[3].textContent)"
    press = "document.querySelectorAll('#models thead button')[3].click()"
    unsorted = browser.evaluate(column)
    browser.evaluate(press)
    assert browser.evaluate(column) == sorted(unsorted, key=int)
    assert browser.evaluate("document.querySelectorAll('#models thead th')[3].ariaSort") == "ascending"
    browser.evaluate(press)
    assert browser.evaluate(column) == sorted(unsorted, key=int, reverse=True)
    assert browser.evaluate("document.querySelectorAll('[aria-sort]').length") == 1


def test_without_scripts_all_is_there(browser, pages) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages["gallery"])
        names = browser.names()
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert ("link", "byol_r50.in1k_100e") in names
    assert not [told for role, told in names if role == "button"]


def test_from_the_table_to_a_model_and_back(browser, pages) -> None:
    browser.open(pages["gallery"])
    address = browser.evaluate("[...document.links].find(a => a.textContent === 'ladder_dense_r50.in1k_200e').href")
    assert address == pages["model"].as_uri()
    browser.open(pages["model"])
    assert browser.evaluate("document.links[1].href") == pages["gallery"].as_uri()


def test_on_paper_nothing_is_cut_off(browser, pages, tmp_path) -> None:
    browser.open(pages["report"])
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    browser.send("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.evaluate("getComputedStyle(document.querySelector('header')).display") == "none"
    assert browser.evaluate("getComputedStyle(document.querySelector('.frame')).overflowX") == "visible"
    assert browser.evaluate(BACKGROUND) == "rgb(255, 255, 255)"


_LOW_CONTRAST = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const shine = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (parts(c)[3] !== 0) return c; }
    return "rgb(255, 255, 255)";
  };
  const low = new Set();
  for (const e of document.querySelectorAll("body *:not(svg *):not(script)")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [shine(getComputedStyle(e).color), shine(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.add(e.tagName + "." + e.className);
  }
  return [...low];
})()"""
