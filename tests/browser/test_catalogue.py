"""The catalogue as somebody uses it who only wants an ID: search, filter, copy, by keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed here")
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

from personasync.model.diagnostics import Place  # noqa: E402
from personasync.render.catalogue import Card, CatalogueView, render_html  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="chromium and chromedriver are not installed here",
    ),
]

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror='window.pwned=1'>",
    '" onmouseover="window.pwned=1',
    "javascript:window.pwned=1",
    "\u202egnp.exe",
    "{{ 7*7 }}",
)
CARDS = [
    Card("neon-siren", "Neon Siren", "Electronic Pop", "created", "id-neon", "a1", "t1",
         "Bright and agile.\nAiry doubles in the chorus.", (0, 30), Place("voices/a.yaml", 7, 3)),
    Card("velvet", "Velvet Baritone", "Neo Soul", "created", "id-velvet", "a2", "t1",
         "Warm, close to the microphone.", (5.5, 25), Place("voices/b #1.yaml", 12, 3)),
    Card("night", "夜の歌姫", "City Pop", "pending", None, "a3", "t2", "Soft and bright."),
    *(Card(f"h-{at}", text, text, "created", f"id-{at}", f"h{at}", None, text)
      for at, text in enumerate(HOSTILE)),
]  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browser")
    options = Options()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "host-rules=MAP * ~NOTFOUND",
        f"user-data-dir={folder / 'profile'}",
        "window-size=1000,900",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.get("about:blank")  # away from the browser's own page, which loads a lot
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page, opened anew; at its end nothing was complained of, and nothing was asked for."""
    path = tmp_path / "catalogue.html"
    view = CatalogueView(source_url="https://host.example/blob/main")
    path.write_text(render_html(CARDS, view), encoding="utf-8")
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(path.as_uri())
    may = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", may)
    yield browser
    assert browser.execute_script("return window.pwned") is None
    assert browser.get_log("browser") == []
    sent = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    urls = {
        each["params"]["request"]["url"]
        for each in sent
        if each["method"] == "Network.requestWillBeSent"
    }
    assert urls == {path.as_uri()}


def shown(page: Any) -> list[str]:
    keys = page.find_elements(By.CSS_SELECTOR, "li:not([hidden]) .facts code")
    return [each.text for each in keys]


def clipboard(page: Any) -> str:
    read = "navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](`no: ${e}`))"
    return str(page.execute_async_script(read))


def test_it_is_searched_as_one_types_and_filtered(page: Any) -> None:
    assert len(shown(page)) == len(CARDS)
    search = page.find_element(By.ID, "search")
    search.send_keys("bright AIRY")
    assert shown(page) == ["neon-siren"]
    assert page.find_element(By.ID, "count").text == f"1 of {len(CARDS)}"
    search.send_keys(Keys.ESCAPE)
    search.send_keys("ｎｅｏｎ")
    assert shown(page) == ["neon-siren"]
    search.send_keys(Keys.ESCAPE)
    status = Select(page.find_element(By.ID, "status"))
    status.select_by_visible_text("pending")
    assert shown(page) == ["night"]
    search.send_keys("nobody")
    assert shown(page) == []
    assert page.find_element(By.ID, "none").is_displayed()
    status.select_by_index(0)
    Select(page.find_element(By.ID, "style")).select_by_visible_text("City Pop")
    search.clear()
    search.send_keys(" ")
    assert shown(page) == ["night"]
    search.clear()
    search.send_keys("歌姫")
    assert shown(page) == ["night"]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Copy the ID of Neon Siren", "id-neon"),
        ("Copy the description of Neon Siren", "Bright and agile.\nAiry doubles in the chorus."),
        ("Copy the segment of Velvet Baritone", "5.5-25"),
    ],
)
def test_an_id_is_copied_by_keyboard_alone(page: Any, label: str, text: str) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    assert page.switch_to.active_element.get_attribute("id") == "search"
    for _ in range(60):
        page.switch_to.active_element.send_keys(Keys.TAB)
        if page.switch_to.active_element.get_attribute("aria-label") == label:
            break
    page.switch_to.active_element.send_keys(Keys.ENTER)
    said = page.find_element(By.ID, "said")
    WebDriverWait(page, 10).until(lambda _: said.text)
    assert said.text == label.replace("Copy the", "Copied:")
    assert clipboard(page) == text
    assert page.switch_to.active_element.get_attribute("aria-label") == label


def test_a_link_leads_to_the_line_of_the_manifest(page: Any) -> None:
    links = [each.get_attribute("href") for each in page.find_elements(By.TAG_NAME, "a")]
    assert links == [
        "https://host.example/blob/main/voices/a.yaml#L7",
        "https://host.example/blob/main/voices/b%20%231.yaml#L12",
    ]


def test_hostile_texts_are_texts(page: Any) -> None:
    headings = [each.text for each in page.find_elements(By.TAG_NAME, "h2")]
    assert headings[3:] == [text.replace("\u202e", "\\u202e") for text in HOSTILE]
    assert len(page.find_elements(By.TAG_NAME, "script")) == 1
    assert page.find_elements(By.TAG_NAME, "img") == []


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone_and_in_the_dark(page: Any, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    worst = page.execute_script(CONTRAST)
    assert worst[0] >= 4.5, worst
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRAST = """
const light = (css) => {
  const [r, g, b] = css.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (node) => {
  for (let each = node; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
};
let worst = [99, ""];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
  if (!own || !node.checkVisibility() || node.matches("option, script")) continue;
  const [one, other] = [light(getComputedStyle(node).color), light(behind(node))];
  const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
  if (ratio < worst[0]) worst = [ratio, node.outerHTML.slice(0, 80)];
}
return worst;
"""


def test_what_a_screen_reader_needs_is_there(page: Any) -> None:
    assert page.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    for tree in ("button", "input", "select"):
        for each in page.find_elements(By.TAG_NAME, tree):
            assert each.accessible_name
    names = [each.accessible_name for each in page.find_elements(By.TAG_NAME, "article")]
    assert names[0] == "Neon Siren"
    assert len(set(names)) == len(CARDS)
