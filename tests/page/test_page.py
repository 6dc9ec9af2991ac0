"""The page in a browser: what it sends, what it shows, and how it looks in light, dark and on a phone."""

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from browsing import Page
from serving import CHECKOUT

CLASSIFIER, DETECTOR = "ce_resnet_caltech101", "ce_fcos_bccd"
SMEAR = CHECKOUT / "docs/images/smear.jpg"
THING = CHECKOUT / f"models/{CLASSIFIER}/1/golden.png"


def test_labels_are_shown_as_bars(page: Page):
    page.choose_model(CLASSIFIER)
    page.choose_file(THING)
    answer = page.answer()
    rows = page.all("#findings li")
    assert [row.text.split("\n")[0] for row in rows] == [
        one["label"].replace("_", " ") for one in answer["predictions"]
    ]
    widths = [row.find_element("css selector", ".filled").rect["width"] for row in rows]
    assert len(widths) == 5
    assert widths == sorted(widths, reverse=True)
    assert f"model={CLASSIFIER}" in page.one("#curl").text
    page.screenshot("classify")


def test_boxes_lie_on_what_was_found(page: Page):
    page.choose_model(DETECTOR)
    page.choose_file(SMEAR)
    answer = page.answer()
    picture = page.one("#preview").rect
    scale = picture["width"] / answer["image"]["width"]
    boxes = page.all("#boxes .box")
    assert len(boxes) == len(answer["detections"]) == 16
    for box, detection in zip(boxes, answer["detections"], strict=True):
        left, top, right, _ = detection["box"]
        assert box.rect["x"] - picture["x"] == pytest.approx(scale * left, abs=1.5)
        assert box.rect["y"] - picture["y"] == pytest.approx(scale * top, abs=1.5)
        assert box.rect["width"] == pytest.approx(scale * (right - left), abs=1.5)
        assert box.text.startswith(detection["label"])
    assert "11 RBC" in page.one("#summary").text


@pytest.mark.parametrize(("scheme", "phone"), [("light", False), ("dark", False), ("light", True), ("dark", True)])
def test_everything_fits_the_screen(page: Page, scheme: str, phone: bool):
    page.emulate(scheme=scheme, phone=phone)
    page.screenshot(f"empty-{scheme}{'-phone' if phone else ''}")
    page.choose_file(SMEAR)
    page.answer()
    page.wait(lambda: page.all(".history span"))
    size = page.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    page.screenshot(f"detect-{scheme}{'-phone' if phone else ''}")
    page.emulate()
    assert size[0] <= size[1], "nothing sticks out to the side"


def test_an_option_asks_again(page: Page):
    page.choose_model(DETECTOR)
    page.choose_file(SMEAR)
    page.answer()
    # by the keyboard alone: the highest threshold
    page.one("#threshold").send_keys(Keys.END)
    page.wait(lambda: not page.all("#boxes .box"))
    assert "threshold=1" in page.one("#curl").text
    page.one("#reset").click()
    page.wait(lambda: len(page.all("#boxes .box")) == 16)
    assert "threshold" not in page.one("#curl").text


def test_the_camera_gives_a_picture(page: Page):
    page.choose_model(CLASSIFIER)
    page.one("#camera").click()
    page.wait(lambda: page.one("#shoot").is_displayed() and page.one("#viewfinder").get_property("videoWidth"))
    page.one("#shoot").click()
    assert len(page.answer()["predictions"]) == 5
    assert page.one("#file-name").text == "camera.jpg"
    assert not page.one("#viewfinder").is_displayed()


def test_an_error_is_told(page: Page, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("hello, is this a picture?")
    page.choose_file(text)
    problem = page.wait(lambda: page.one("[role=alert]").is_displayed() and page.one("[role=alert]"))
    assert "Unsupported Media Type" in problem.text
    assert "unsupported_image" in problem.text
    assert not page.one("#result").is_displayed()
    page.screenshot("error")
    # the browser itself notes an answer of 415, and nothing else
    errors = page.console_errors()
    assert len(errors) == 1
    assert "415" in errors[0]


def test_the_live_panel_moves(page: Page):
    page.choose_model(CLASSIFIER)
    numbers = lambda: [one.text for one in page.all("#live .number")]  # noqa: E731
    page.wait(lambda: numbers()[0] == "0.0/s")
    page.choose_file(THING)
    page.wait(lambda: numbers()[0] != "0.0/s")
    throughput, latency, _, batch, errors = numbers()
    assert throughput.endswith("/s")
    assert latency.endswith(" ms")
    assert (batch, errors) == ("1.0", "0.0/s")
