"""The map page in a real browser with a real server: SPOTON_DASHBOARD_URL, or the built program with
synthetic cameras."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from browser import LIMIT_S

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from world_calibration import calibration  # noqa: E402

PROGRAM = Path(os.environ.get("SPOTON_BUILD_DIR", ROOT / "build")) / "spoton"
CAMERAS = {"c01": 0, "c02": 1, "c03": 2}
SIZE = (640, 360)


def serve(folder, cameras, **settings):
    """A running server and its address."""
    command = [str(PROGRAM), "serve"]
    for name, url in cameras.items():
        command += ["--camera", f"{name}={url}"]
    process = subprocess.Popen(command, cwd=folder, text=True,
                               env={**os.environ, "ENGINE": "fake", "HTTP_PORT": "0", **settings},
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = process.stdout.readline()
    assert line.startswith("dashboard: "), line
    return process, line.removeprefix("dashboard: ").strip()


@pytest.fixture
def start(tmp_path):
    """Starts servers for a single test."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    started = []

    def begin(cameras, **settings):
        process, url = serve(tmp_path, cameras, **settings)
        started.append(process)
        return url
    yield begin
    for process in started:
        process.terminate()
        process.wait(LIMIT_S)
        process.stdout.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    folder = tmp_path_factory.mktemp("map")
    (folder / "map.json").write_text(json.dumps(calibration({"c01": 0, "c02": 1}, *SIZE)))
    cameras = {name: f"sim://world?camera={view}&seed=4&people=3&fps=8&width={SIZE[0]}&height={SIZE[1]}"
               for name, view in CAMERAS.items()}
    process, url = serve(folder, cameras, HOMOGRAPHY_FILE_PATH=str(folder / "map.json"))
    yield url
    process.terminate()
    process.wait(LIMIT_S)
    process.stdout.close()


def get(world, path):
    return json.load(urllib.request.urlopen(world + path))


# Of the plates with names: whether each is large enough and in contrast to its ground, and whether
# any lies on another of the same drawing.
READABLE = """(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const drawings = [...document.querySelectorAll('#plan, #frames svg')];
  return drawings.flatMap((drawing) => {
    const plates = [...drawing.querySelectorAll('.plate')];
    const places = plates.map((plate) => plate.firstChild.getBoundingClientRect());
    if (drawing.id === 'plan')
      places.push(...[...drawing.querySelectorAll('.view-name')].map((name) => name.getBoundingClientRect()));
    const faults = plates.filter(({children: [plate, text]}) => {
      const one = light(getComputedStyle(plate).fill), other = light(getComputedStyle(text).fill);
      return Math.max(one, other) / Math.min(one, other) < 4.5 || text.getBoundingClientRect().height < 11;
    }).map((plate) => plate.textContent);
    places.forEach((a, i) => places.slice(0, i).forEach((b) => {
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
          Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
        faults.push([a, b]);
    }));
    return faults;
  });
})()"""


@pytest.mark.parametrize("width, scheme", [(1440, "light"), (1440, "dark"), (360, "light")])
def test_people_are_on_the_map_and_in_the_frames(world, make_page, width, scheme):
    page = make_page(width, 900, scheme)
    page.open(world + "map.html")
    page.wait("document.querySelectorAll('#plan .person').length > 0", 40)
    page.wait("document.querySelectorAll('#plan .view').length === 2")
    page.wait("document.querySelectorAll('#events li').length > 0")
    page.wait("[...document.querySelectorAll('#frames text')].some((node) => node.textContent.startsWith('P'))")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    for _ in range(5):
        page.wait("document.querySelectorAll('#plan .plate').length > 0")
        assert page.run(READABLE) == []
        time.sleep(0.4)
    assert page.errors() == []


def test_names_of_a_crowd_lie_beside_each_other(world, make_page):
    """Twelve people on one spot, four in a corner, and one without space for a label."""
    page = make_page()
    page.open(world + "map.html")
    page.wait("document.querySelectorAll('#camera option').length === 3")
    boxes = page.run("""import('/labels.js').then(({Labels, placesAround}) => {
      const labels = new Labels({x: 0, y: 0, width: 900, height: 300}, 1);
      const spots = [...Array(12).fill([400, 150]), ...Array(4).fill([899, 1])];
      return spots.map(([x, y], i) => labels.place(`P${i}`, placesAround(x, y, 6, labels.size(`P${i}`))));
    })""")
    for i, a in enumerate(boxes):
        assert 0 <= a["x"] and a["x"] + a["width"] <= 900 and 0 <= a["y"] and a["y"] + a["height"] <= 300
        for b in boxes[:i]:
            assert (a["x"] + a["width"] <= b["x"] + 0.01 or b["x"] + b["width"] <= a["x"] + 0.01 or
                    a["y"] + a["height"] <= b["y"] + 0.01 or b["y"] + b["height"] <= a["y"] + 0.01)
    full = """import('/labels.js').then(({Labels}) => {
      const labels = new Labels({x: 0, y: 0, width: 30, height: 10}, 1);
      labels.occupy({x: 0, y: 0, width: 30, height: 10});
      return [labels.place('P1', [[0, 0]], true), labels.place('P1', [[0, 0]]) !== null];
    })"""
    assert page.run(full) == [None, True]
    said = page.run("import('/labels.js').then(({awayText}) => [0, 0.9, 1, 7.9].map(awayText))")
    assert said == ["just lost"] * 2 + ["not visible for 1 s", "not visible for 7 s"]


def test_a_set_of_points_on_a_line_is_refused_with_the_reason(world, make_page):
    page = make_page(360, 900)
    page.open(world + "map.html")
    page.wait("document.querySelectorAll('#camera option').length === 3")
    page.run("""const choice = document.querySelector('#camera'); choice.value = 'c03';
      choice.dispatchEvent(new Event('change'))""")
    for i in range(5):
        page.run("document.querySelector('#point-add').click()")
        for field, value in enumerate((50 + 90 * i, 40 + 50 * i, 500 + 200 * i, 300 + 100 * i)):
            page.run(f"""(() => {{
              const input = document.querySelectorAll('#points tr')[{i}].querySelectorAll('input')[{field}];
              input.value = {value};
              input.dispatchEvent(new Event('change'));
            }})()""")
    page.wait("document.querySelector('#verdict.bad')?.textContent.includes('on a line')")
    assert page.run("document.querySelector('#save').disabled")
    assert page.run("document.querySelectorAll('#sheet .view').length") == 0
    # Where there is no room for columns, each number says what it is.
    labels = page.run("""[...document.querySelectorAll('#points tr:first-child td')]
      .map((cell) => getComputedStyle(cell, '::before').content)""")
    assert labels[:4] == ['"Frame x"', '"Frame y"', '"Map x"', '"Map y"']
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_a_person_is_focused_and_released_by_key(world, make_page):
    page = make_page()
    page.open(world + "map.html")
    page.wait("document.querySelectorAll('#people button').length >= 2", 40)
    page.run("document.querySelector('#people button').focus(); document.activeElement.click()")
    page.wait("document.querySelectorAll('#people [aria-pressed=true]').length === 1")
    page.wait("document.querySelectorAll('#plan .person.dimmed').length >= 1")
    page.run("dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    page.wait("document.querySelectorAll('#plan .person.dimmed').length === 0")


def test_a_camera_is_calibrated_by_clicks_and_numbers(world, make_page):
    page = make_page(1440, 900)
    page.open(world + "map.html")
    page.wait("[...document.querySelectorAll('#camera option')].length === 3")
    page.run("""const choice = document.querySelector('#camera'); choice.value = 'c03';
      choice.dispatchEvent(new Event('change'))""")
    page.wait("document.querySelector('#still').naturalWidth > 0")
    entry = calibration({"c03": 2}, *SIZE)["cameras"][0]
    page.run("""window.put = (u, v, x, y) => {
      const still = document.querySelector('#still'), at = still.getBoundingClientRect();
      still.dispatchEvent(new MouseEvent('click', {clientX: at.left + u / still.naturalWidth * at.width,
        clientY: at.top + v / still.naturalHeight * at.height}));
      const sheet = document.querySelector('#sheet');
      const spot = new DOMPoint(x, y).matrixTransform(sheet.getScreenCTM());
      sheet.dispatchEvent(new MouseEvent('click', {clientX: spot.x, clientY: spot.y}));
    }""")
    for (u, v), (x, y) in zip(entry["source_points"], entry["destination_points"]):
        page.run(f"put({u}, {v}, {x}, {y})")
    page.wait("document.querySelectorAll('#points tr').length === 5")
    page.wait("!document.querySelector('#save').disabled")
    assert "Fit: " in page.run("document.querySelector('#verdict').textContent")
    assert page.run("document.querySelectorAll('#sheet .view').length") == 1
    assert len(get(world, "api/v2/map")["cameras"]) == 2  # only tried so far
    page.run("document.querySelector('#save').click()")
    page.wait("document.querySelector('#verdict').textContent.startsWith('Saved')")
    found = {c["camera"]: c for c in get(world, "api/v2/map")["cameras"]}
    assert found["c03"]["usable"] and found["c03"]["rms_m"] < 0.2

    # A point typed to a wrong place: refused or left out, with the reason, and not in use.
    page.run("""const input = document.querySelector('#points tr input'); input.value = 5;
      input.dispatchEvent(new Event('change'))""")
    page.wait("document.querySelector('#verdict').classList.contains('bad')")
    assert page.run("document.querySelector('#save').disabled")
    page.wait("!document.querySelector('#forget').disabled")
    page.run("document.querySelector('#forget').click()")
    limit = time.monotonic() + LIMIT_S
    while len(get(world, "api/v2/map")["cameras"]) != 2:
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_cameras_without_frames_and_empty_lists_say_so(start, make_page):
    page = make_page()
    page.open(start({"gone": "sim://offline", "door": "sim://empty?fps=5&width=320&height=180"}) + "map.html")
    state = """[...document.querySelectorAll('#frames li')].map((item) =>
      [item.dataset.camera, item.querySelector('img').hidden, item.querySelector('.cover').hidden])"""
    page.wait("document.querySelector('#frames [data-camera=door] img')?.naturalWidth > 0")
    page.wait("document.querySelector('#frames [data-camera=door] .cover').hidden")
    assert page.run(state) == [["gone", True, False], ["door", False, True]]
    assert page.run("document.querySelector('#frames .cover').textContent").startswith("Offline")
    for name, text in {"people": "No people", "events": "No events", "points": "no points"}.items():
        assert not page.run(f"document.querySelector('#{name}-none').hidden")
        assert text in page.run(f"document.querySelector('#{name}-none').textContent")
    page.run("""const choice = document.querySelector('#camera'); choice.value = 'gone';
      choice.dispatchEvent(new Event('change'))""")
    assert page.run("document.querySelector('#still').hidden")
    assert "No frame" in page.run("document.querySelector('#still-none').textContent")
    page.run("""choice.value = 'door'; choice.dispatchEvent(new Event('change'))""")
    page.wait("!document.querySelector('#still').hidden && document.querySelector('#still-none').hidden")
    time.sleep(2)
    assert page.errors() == []


def test_without_cameras_or_a_map(start, make_page):
    page = make_page()
    page.open(start({}) + "map.html")
    page.wait("document.querySelector('#frames-none')?.hidden === false")
    page.open(start({"door": "sim://empty?fps=5"}, SPATIAL_MATCH_ENABLED="false") + "map.html")
    page.wait("document.querySelector('#problem')?.textContent.includes('SPATIAL_MATCH_ENABLED')")
    page.wait("document.querySelector('#frames img')?.naturalWidth > 0")
    assert page.run("document.querySelector('#plan').closest('section').hidden")
    time.sleep(1.5)
    assert page.errors() == []
