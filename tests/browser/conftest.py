"""One browser and one server for all tests of this folder; without a browser they are skipped and say why."""

import pytest

from .bench import CHROMIUM, FLAGS, LOCAL, PATIENCE_S, Lab, Page, why_unavailable


@pytest.fixture(scope="session")
def browser():
    """Chromium, driven by playwright."""
    reason = why_unavailable()
    if reason:
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def page(browser):
    """A fresh tab that can reach this machine only and notes what went wrong."""
    yield from tab_of(browser)


@pytest.fixture
def page_without_webgl(browser):
    """The same in a browser that cannot draw in 3D."""
    made = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, "--disable-3d-apis"])
    yield from tab_of(made)
    made.close()


def tab_of(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.route(lambda url: not url.startswith(LOCAL), lambda route: route.abort())
    context.set_default_timeout(PATIENCE_S * 1000)
    made = Page(context.new_page()).watch()
    yield made
    context.close()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """A JupyterLab server with a folder of its own."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made.start()
    finally:
        made.stop()
