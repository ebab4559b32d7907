import os

import pytest

from browser import Browser
from fake_server import start


@pytest.fixture(scope="session")
def browser():
    try:
        running = Browser()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    yield running
    running.close()


@pytest.fixture
def fake():
    """A server with known content; its options can be changed at run time."""
    server = start()
    yield server
    server.box.up = False
    server.shutdown()
    server.server_close()


@pytest.fixture
def base(request):
    """The address under test: SPOTON_DASHBOARD_URL, or the fake server."""
    url = os.environ.get("SPOTON_DASHBOARD_URL")
    if url:
        return url.rstrip("/") + "/"
    return f"http://127.0.0.1:{request.getfixturevalue('fake').server_port}/"


@pytest.fixture
def make_page(browser):
    pages = []

    def make(*args, **keywords):
        pages.append(browser.page(*args, **keywords))
        return pages[-1]

    yield make
    for page in pages:
        page.close()
