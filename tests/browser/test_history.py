"""The page History in a real browser with a real server and a real store."""

import json
import time
import urllib.request

from browser import LIMIT_S
from test_map import start  # noqa: F401: a fixture

WALK = "sim://walk?fps=15&width=640&height=360"


def put(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"},
                                     method="PUT")
    urllib.request.urlopen(request).close()


def text(page, selector):
    return page.run(f"document.querySelector('{selector}').textContent")


def test_counts_dwell_heatmap_and_events_are_shown(start, make_page, tmp_path):  # noqa: F811
    url = start({"gate": WALK}, STORE=str(tmp_path / "store"), STORE_SNAPSHOTS="60")
    put(url, "api/v2/cameras/gate/analytics",
        {"lines": [{"name": "door", "points": [[0.5, 0], [0.5, 1]]}],
         "zones": [{"name": "hall", "polygon": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}]})
    page = make_page(1280, 1000)

    def reached(condition):
        """The page reads once; it is opened again until the store has it. When it has read all, its link is live."""
        page.open(url + "history.html")
        page.wait("['live', 'lost'].includes(document.querySelector('#link')?.dataset.link)")
        return page.run(f"document.querySelector('#link').dataset.link === 'live' && {condition}")

    limit = time.monotonic() + 2 * LIMIT_S
    while not reached("/[1-9].* in/.test(document.querySelector('#charts')?.textContent) && "
                      "document.querySelectorAll('#charts .chart .bar').length > 1 && "
                      "document.querySelectorAll('#dwell rect').length > 0 && document.querySelector('#events img') !== null && "
                      "[...document.querySelectorAll('#events tr')].some((row) => /line.crossed.*gate.*door/.test(row.textContent))"):
        assert time.monotonic() < limit, text(page, "#page")
    page.wait("document.querySelector('#heat').naturalWidth > 0 && !document.querySelector('#heat').hidden")
    page.run("document.querySelector('#events img').scrollIntoView()")  # images load when they are near
    page.wait("document.querySelector('#events img').naturalWidth > 100")
    page.run("""const kind = document.querySelector('#kind'); kind.value = 'zone.left';
      kind.dispatchEvent(new Event('change', {bubbles: true}))""")
    page.wait("[...document.querySelectorAll('#events tr')].length > 0 && "
              "[...document.querySelectorAll('#events tr')].every((row) => row.textContent.includes('zone.left'))")
    assert page.errors() == []


def test_without_a_store_the_page_says_what_to_set(start, make_page):  # noqa: F811
    url = start({"gate": WALK})
    page = make_page(400, 800)
    page.open(url + "history.html")
    page.wait("document.querySelector('#problem')?.textContent.includes('STORE')")
    assert page.run("document.querySelector('#page').hidden")
