"""The page as its reader handles it."""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from serving import CHECKOUT

SCREENSHOTS = CHECKOUT / ".cache/page-screenshots"
_TIMEOUT_S = 30

_HAND_OVER = """
const [event, name, type, content] = arguments;
const transfer = new DataTransfer();
transfer.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name, { type }));
const made = event === "drop"
  ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
  : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
document.getElementById("stage").dispatchEvent(made);
"""


class Page:
    """A browser at the server's page."""

    def __init__(self, browser: webdriver.Chrome, url: str):
        self.browser, self.url = browser, url

    def open(self) -> None:
        self.logged("browser"), self.logged("performance")
        self.browser.get(self.url)
        self.wait(lambda: self.all("#model option"))

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def wait(self, holds):
        return WebDriverWait(self.browser, _TIMEOUT_S).until(lambda _: holds())

    def choose_model(self, name: str) -> None:
        Select(self.one("#model")).select_by_visible_text(name)

    def press(self, *keys: str) -> None:
        """Presses keys, one after the other, wherever the keyboard is."""
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def focused(self) -> WebElement:
        return self.browser.switch_to.active_element

    def hand_over(self, event: str, path: Path, content_type: str) -> None:
        """What a browser does when a file is dropped or pasted, with the file at `path`."""
        content = base64.b64encode(path.read_bytes()).decode()
        self.browser.execute_script(_HAND_OVER, event, path.name, content_type, content)

    def choose_file(self, path: Path) -> None:
        self.one("#file").send_keys(str(path))

    def answer(self) -> dict:
        """The JSON that the page shows once an answer is there."""
        self.wait(lambda: self.one("#result").is_displayed())
        return json.loads(self.one("#json").get_property("textContent"))

    def logged(self, kind: str) -> list[dict]:
        return self.browser.get_log(kind)

    def hosts(self) -> set[str]:
        """Whom the page asked, pictures of its own making aside."""
        messages = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        urls = [urlsplit(params["request"]["url"]) for params in sent]
        return {url.netloc for url in urls if url.scheme not in ("blob", "data")}

    def console_errors(self) -> list[str]:
        return [entry["message"] for entry in self.logged("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, name: str) -> None:
        """The whole page, as a file to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shot = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def emulate(self, *, scheme: str = "light", phone: bool = False, motion: str = "no-preference") -> None:
        wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        if phone:
            size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        else:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
