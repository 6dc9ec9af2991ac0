"""The page in a browser: what it sends, what it shows, and how it looks in light, dark and on a phone."""

import json
import subprocess
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from browsing import Page
from contrast import too_faint
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
    page.wait(lambda: page.one(".spark .line").get_dom_attribute("d"))
    size = page.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    page.screenshot(f"detect-{scheme}{'-phone' if phone else ''}")
    page.emulate()
    assert size[0] <= size[1], "nothing sticks out to the side"
    assert page.one("#state").text == "ready"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(page: Page, scheme: str, tmp_path: Path):
    page.emulate(scheme=scheme, motion="reduce")
    faint = too_faint(page.browser)
    page.choose_model(DETECTOR)
    page.choose_file(SMEAR)
    page.answer()
    page.one("#answered summary").click()
    page.one(".kind").click()
    faint += too_faint(page.browser)
    page.choose_file(a_text(tmp_path))
    page.wait(lambda: page.one("[role=alert]").is_displayed())
    faint += too_faint(page.browser)
    page.emulate()
    page.console_errors()
    assert faint == []


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


def a_text(folder: Path) -> Path:
    text = folder / "notes.txt"
    text.write_text("hello, is this a picture?")
    return text


def test_an_error_is_told(page: Page, tmp_path: Path):
    page.choose_file(a_text(tmp_path))
    problem = page.wait(lambda: page.one("[role=alert]").is_displayed() and page.one("[role=alert]"))
    assert "Unsupported Media Type" in problem.text
    assert "unsupported_image" in problem.text
    assert not page.one("#result").is_displayed()
    page.screenshot("error")
    # the browser itself notes an answer of 415, and nothing else
    errors = page.console_errors()
    assert len(errors) == 1
    assert "415" in errors[0]


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(page: Page, event: str):
    page.choose_model(CLASSIFIER)
    page.hand_over(event, THING, "image/png")
    assert len(page.answer()["predictions"]) == 5
    assert page.one("#file-name").text == THING.name
    assert not page.one("#empty").is_displayed()


def test_each_stage_is_shown_with_its_time(page: Page):
    page.choose_model(CLASSIFIER)
    page.choose_file(THING)
    times = page.answer()["timings_ms"]
    rows = {row.find_element("css selector", ".name").text: row for row in page.all("#stages li")}
    total = times.pop("total")
    assert list(rows) == [*times, "waiting"]
    ends = 0.0
    for stage, row in rows.items():
        track, span = (row.find_element("css selector", one).rect for one in (".track", ".span"))
        if stage in times:
            shown = float(row.find_element("css selector", ".time").text.removesuffix(" ms"))
            assert shown == pytest.approx(times[stage], abs=0.06)
            assert span["x"] - track["x"] == pytest.approx(ends / total * track["width"], abs=2.5)
            ends += times[stage]


def test_a_kind_can_be_hidden(page: Page):
    page.choose_model(DETECTOR)
    page.choose_file(SMEAR)
    page.answer()
    kind = next(one for one in page.all(".kind") if "Platelets" in one.text)
    shown = lambda: sum(box.is_displayed() for box in page.all("#boxes .box"))  # noqa: E731
    assert (kind.text, shown()) == ("4 Platelets", 16)
    kind.send_keys(Keys.SPACE)
    assert (kind.get_dom_attribute("aria-pressed"), shown()) == ("false", 12)
    assert len([row for row in page.all("#findings li") if row.is_displayed()]) == 12
    kind.send_keys(Keys.SPACE)
    assert shown() == 16


def test_all_of_it_works_by_the_keyboard(page: Page):
    page.choose_model(DETECTOR)
    page.choose_file(SMEAR)
    page.answer()
    page.browser.execute_script("document.querySelector('nav a').focus()")
    reached, ringless = [], []
    while (one := page.focused()).tag_name != "body" and len(reached) < 60:
        reached.append(one.get_property("id") or one.tag_name)
        # what a script has focused has no ring
        if len(reached) > 1 and not page.browser.execute_script(_RING, one):
            ringless.append(reached[-1])
        page.press(Keys.TAB)
    wanted = {"a", "file", "camera", "again", "model", "threshold", "iou", "max-detections", "reset", "button", "li"}
    wanted |= {"copy", "summary"}
    assert wanted <= set(reached)
    assert reached.count("li") == 16, "each box can be pointed at"
    assert ringless == [], "whoever has the keyboard is seen to have it"
    row = page.all("#findings li")[2]
    page.browser.execute_script("arguments[0].focus()", row)
    assert [
        index for index, box in enumerate(page.all("#boxes .box")) if "pointed" in box.get_dom_attribute("class")
    ] == [2]


# the element, or what stands for it, has an outline
_RING = """
const [one] = arguments;
const seen = [one, document.getElementById("choose")].slice(0, one.id === "file" ? 2 : 1);
return seen.some((each) => getComputedStyle(each).outlineStyle !== "none" && each.checkVisibility());
"""


def test_the_curl_line_asks_the_same(page: Page):
    page.choose_model(CLASSIFIER)
    page.choose_file(THING)
    answer = page.answer()
    line = page.one("#curl").get_property("textContent")
    done = subprocess.run(line, shell=True, cwd=THING.parent, capture_output=True, check=True)
    assert json.loads(done.stdout)["predictions"] == answer["predictions"]


def test_no_script_but_the_page_s_own_runs(page: Page):
    page.browser.execute_script(
        "const one = document.createElement('script');"
        "one.textContent = 'window.intruder = true';"
        "document.body.append(one);"
    )
    assert page.browser.execute_script("return window.intruder") is None
    errors = page.console_errors()
    assert len(errors) == 1
    assert "Content Security Policy" in errors[0]


def test_nothing_moves_where_that_is_unwanted(page: Page):
    page.emulate(motion="reduce")
    page.choose_model(CLASSIFIER)
    page.choose_file(THING)
    page.answer()
    moving = page.browser.execute_script(
        "return [...document.querySelectorAll('*')].filter((one) => {"
        " const { animationName, transitionDuration } = getComputedStyle(one);"
        " return animationName !== 'none' || (transitionDuration !== '0s' && one.matches('.filled, .span')); }).length"
    )
    page.emulate()
    assert moving == 0


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
