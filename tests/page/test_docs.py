"""The API's documentation in a browser: Swagger UI, out of the server itself, under the same policy as the page."""

from selenium import webdriver
from selenium.webdriver.common.by import By

from browsing import Page
from serving import Server


def test_every_operation_is_shown_and_an_example_runs(server: Server, browser: webdriver.Chrome):
    docs = Page(browser, f"{server.url}/docs")
    docs.logged("browser"), docs.logged("performance")
    browser.get(docs.url)
    docs.wait(lambda: len(docs.all(".opblock")) > 20)
    classify = docs.one("#operations-Pictures-post_classify")
    classify.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    docs.wait(lambda: classify.find_elements(By.CSS_SELECTOR, ".try-out__btn"))
    classify.find_element(By.CSS_SELECTOR, ".try-out__btn").click()
    model = classify.find_element(By.CSS_SELECTOR, "[data-param-name=model] input")
    model.send_keys("ce_resnet_caltech101")
    classify.find_element(By.CSS_SELECTOR, ".body-param-content-type option[value='application/json']").click()
    classify.find_element(By.CSS_SELECTOR, ".execute").click()
    answer = docs.wait(lambda: classify.find_elements(By.CSS_SELECTOR, ".live-responses-table .response-col_status"))
    docs.screenshot("docs")
    assert "200" in [cell.text.split("\n")[0] for cell in answer]
    assert docs.hosts() == {server.http}
    assert docs.console_errors() == []
