"""Lines and zones in a real browser with a real server: drawn with mouse, touch and keyboard, counted at once."""

import json
import urllib.request

import pytest

from test_map import start, world  # noqa: F401: fixtures

WALK = "sim://walk?fps=15&width=640&height=360"


def get(url, path):
    return json.load(urllib.request.urlopen(url + path))


def opened(page, url, query="?camera=gate"):
    page.open(url + "lines.html" + query)
    page.wait("document.querySelector('#scope')?.value && document.querySelector('#link').dataset.link === 'live'")
    page.wait("document.querySelector('#drawing').getBoundingClientRect().height > 100")
    return page


def place(page, u, v):
    """Page coordinates of a part of the drawing."""
    return page.run(f"""(() => {{const at = document.querySelector('#drawing').getBoundingClientRect();
      return [at.left + {u} * at.width, at.top + {v} * at.height]}})()""")


def mouse(page, kind, u, v, buttons=1, clicks=1):
    x, y = place(page, u, v)
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if kind != "mouseMoved" else "none",
              buttons=buttons, clickCount=clicks)


def drag(page, start_at, end_at):
    mouse(page, "mousePressed", *start_at)
    for i in range(1, 5):
        mouse(page, "mouseMoved", *(a + (b - a) * i / 4 for a, b in zip(start_at, end_at)))
    mouse(page, "mouseReleased", *end_at, buttons=0)


def touch(page, kind, u, v):
    x, y = place(page, u, v)
    page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[] if kind == "touchEnd" else [{"x": x, "y": y}])


def tap(page, u, v):
    touch(page, "touchStart", u, v)
    touch(page, "touchEnd", u, v)


def click(page, selector):
    page.run(f"document.querySelector('{selector}').click()")


def saved(page):
    click(page, "#save")
    page.wait("document.querySelector('#verdict').textContent.startsWith('Saved')")


def near(a, b, tolerance=0.02):
    return all(abs(x - y) <= tolerance for one, other in zip(a, b) for x, y in zip(one, other))


def test_a_drawn_line_counts(start, make_page, tmp_path):  # noqa: F811
    url = start({"gate": WALK}, STORE=str(tmp_path / "store"))
    page = opened(make_page(1280, 900), url)
    click(page, "#add-line")
    drag(page, (0.5, 0.04), (0.5, 0.96))
    page.wait("document.querySelectorAll('#list li').length === 1")
    page.run("""const name = document.querySelector('#form [name=name]'); name.value = 'door';
      name.dispatchEvent(new Event('input', {bubbles: true}))""")
    saved(page)
    page.run("""window.events = []; new EventSource('/api/v2/events').onmessage = (message) =>
      window.events.push(JSON.parse(message.data))""")
    line, = get(url, "api/v2/cameras/gate/analytics")["lines"]
    assert line["name"] == "door" and near(line["points"], [[0.5, 0.04], [0.5, 0.96]])
    # The count rises on this page, and in the tile of the page Cameras.
    rises = "[...document.querySelectorAll('SELECTOR')].some((node) => /[1-9]\\d* (in|out)/.test(node.textContent))"
    page.wait(rises.replace("SELECTOR", "#list .count"), 40)
    page.wait("window.events.some((event) => event.kind === 'line.crossed' && event.payload.line === 'door')")
    page.wait("window.events.every((event, i) => event.serial === i + 1)")
    page.wait("[...document.querySelectorAll('#shapes .plate')].some((node) => /door: .*[1-9]/.test(node.textContent))")
    cards = make_page(1280, 900)
    cards.open(url)
    cards.wait(rises.replace("SELECTOR", "[data-camera=gate] .counts strong"), 40)
    # The line is drawn over the frame in the tile.
    cards.wait("""(() => {const canvas = document.querySelector('[data-camera=gate] canvas'), {width, height} = canvas;
      const data = canvas.getContext('2d').getImageData(Math.round(width / 2) - 3, height >> 2, 6, height >> 1).data;
      let found = 0;
      for (let i = 0; i < data.length; i += 4)
        found += data[i] > 220 && data[i + 1] > 170 && data[i + 1] < 230 && data[i + 2] < 110;
      return found > 20})()""")
    # Drawn, it counts what was stored before as well.
    page.wait("""(() => {const button = document.querySelector('#count-week');
      if (/^Last week: door: [1-9]\\d* (in|out)/.test(document.querySelector('#verdict').textContent))
        return true;
      button.click(); // without effect while it is disabled
      return false})()""", 40)
    # Deleted, it is gone.
    click(page, "#list button")
    click(page, "#delete")
    saved(page)
    assert get(url, "api/v2/cameras/gate/analytics")["lines"] == []
    assert page.errors() + [error for error in cards.errors() if "Canvas2D" not in error] == []


def test_a_zone_is_drawn_by_touch_and_changed(start, make_page):  # noqa: F811
    url = start({"gate": WALK})
    page = opened(make_page(360, 740, "dark"), url)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.run("document.querySelector('#drawing').scrollIntoView({block: 'center'})")
    click(page, "#add-zone")
    page.run("document.querySelector('#drawing').scrollIntoView({block: 'center'})")
    for corner in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)):
        tap(page, *corner)
    page.wait("document.querySelectorAll('#list .zone').length === 1")
    # A corner is dragged, and a new one is drawn out of an edge.
    page.run("document.querySelector('#drawing').scrollIntoView({block: 'center'})")
    for a, b in (((0.8, 0.2), (0.9, 0.1)), ((0.5, 0.8), (0.5, 0.9))):
        touch(page, "touchStart", *a)
        touch(page, "touchMove", *b)
        touch(page, "touchEnd", *b)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    saved(page)
    zone, = get(url, "api/v2/cameras/gate/analytics")["zones"]
    assert near(zone["polygon"], [[0.2, 0.2], [0.9, 0.1], [0.8, 0.8], [0.5, 0.9], [0.2, 0.8]], 0.04), zone
    page.wait("/[1-9]\\d* inside/.test(document.querySelector('#list .count').textContent)", 40)
    assert page.errors() == []


def test_a_line_is_placed_and_moved_with_keys(start, make_page):  # noqa: F811
    url = start({"gate": WALK})
    page = opened(make_page(1280, 900), url)
    page.run("document.querySelector('#add-line').focus()")
    page.key("Enter")  # the button
    page.wait("document.activeElement.id === 'drawing'")
    page.key("Enter")  # in the middle
    page.wait("document.activeElement.classList.contains('handle')")
    before = page.run("document.activeElement.getAttribute('aria-label')")
    assert "point 1, 30 % from the left, 50 % from the top" in before
    for _ in range(10):
        page.key("ArrowRight")
    page.key("Tab")
    assert "point 2" in page.run("document.activeElement.getAttribute('aria-label')")
    page.key("ArrowLeft", shift=True)
    saved(page)
    line, = get(url, "api/v2/cameras/gate/analytics")["lines"]
    assert near(line["points"], [[0.4, 0.5], [0.699, 0.5]], 0.0005)
    # What the server refuses is shown, and not in effect.
    page.run("""const name = document.querySelector('#form [name=out]'); name.value = 'in';
      name.dispatchEvent(new Event('input', {bubbles: true}))""")
    click(page, "#save")
    page.wait("document.querySelector('#verdict.bad')?.textContent.includes('give two names')")
    assert get(url, "api/v2/cameras/gate/analytics")["lines"] == [line]
    click(page, "#discard")
    page.wait("document.querySelector('#save').disabled")
    click(page, "#revert")
    page.wait("document.querySelectorAll('#list li').length === 0")
    assert not get(url, "api/v2/cameras/gate/analytics")["edited"]
    assert [error for error in page.errors() if "422" not in error] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_line_on_the_map(world, make_page, scheme):  # noqa: F811
    page = opened(make_page(1440, 900, scheme), world, "?map")
    click(page, "#add-line")
    drag(page, (0.3, 0.3), (0.3, 0.7))
    page.wait("document.querySelectorAll('#list li').length >= 1")
    saved(page)
    line = get(world, "api/v2/map/analytics")["lines"][-1]
    assert line["unit"] == "m" and line["points"][0][0] == pytest.approx(line["points"][1][0], abs=0.3)
    page.open(world + "map.html")
    page.wait("document.querySelectorAll('#plan .shape.line').length === 1")
    page.wait("[...document.querySelectorAll('#plan .plate')].some((node) => node.textContent.startsWith('line 1: '))")
    assert page.errors() == []
    urllib.request.urlopen(urllib.request.Request(world + "api/v2/map/analytics", method="DELETE"))
