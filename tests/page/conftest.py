"""One server and one browser for all tests; where no chromium is installed, the tests say so and are passed over."""

import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver

from browsing import Page
from serving import CHECKOUT, Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving(CHECKOUT / "models") as started:
        yield started


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars", "window-size=1280,1000"):
        options.add_argument(f"--{argument}")
    # a camera that shows a test picture, and a reader who allows it
    for argument in ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as started:
        yield started


@pytest.fixture
def page(server: Server, browser: webdriver.Chrome) -> Iterator[Page]:
    """The page, opened anew. That it asks no other host and never fails by itself, is part of every test."""
    page = Page(browser, server.url)
    page.open()
    yield page
    assert page.hosts() == {server.http}
    assert page.console_errors() == []
