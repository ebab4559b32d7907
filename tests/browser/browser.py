"""Headless Chromium, driven over its DevTools protocol by the `websockets` package."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.sync.client import connect

# Limits only end hangs.
LIMIT_S = 120 * float(os.environ.get("SPOTON_TEST_SLOWER", "1"))
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}


class Browser:
    """A Chromium with its own profile; page() opens a tab that records its console."""

    def __init__(self):
        program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        if not program:
            raise FileNotFoundError("no chromium: install Debian's package, or name one in CHROMIUM")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
             "--disable-component-update", "--remote-debugging-port=0", f"--user-data-dir={self.profile.name}",
             "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = Path(self.profile.name) / "DevToolsActivePort"
        limit = time.monotonic() + LIMIT_S
        while not (port.exists() and len(port.read_text().split()) == 2):
            if time.monotonic() > limit or self.process.poll() is not None:
                self.close()
                raise TimeoutError("chromium did not start")
            time.sleep(0.05)
        number, path = port.read_text().split()
        self.open = contextlib.ExitStack()
        self.socket = self.open.enter_context(
            connect(f"ws://127.0.0.1:{number}{path}", max_size=None, compression=None, open_timeout=LIMIT_S,
                    ping_interval=None))
        self.number = 0
        self.events = []

    def call(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            reply = json.loads(self.socket.recv(timeout=5 * LIMIT_S))
            if reply.get("id") == self.number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]
            self.events.append(reply)

    def page(self, width=1440, height=900, scheme="light", motion="reduce", context=None):
        """context: of another page, to share its cookies."""
        context = context or self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, context, target, session, width, height, scheme, motion)

    def close(self):
        if hasattr(self, "open"):
            self.open.close()
        self.process.terminate()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()


class Page:
    def __init__(self, browser, context, target, session, width, height, scheme, motion):
        self.browser, self.context, self.target, self.session = browser, context, target, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion}])

    def call(self, method, **parameters):
        return self.browser.call(method, session=self.session, **parameters)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def open(self, url):
        """Until the page is that of the URL: before, scripts may still run in the one that is left."""
        loader = self.call("Page.navigate", url=url)["loaderId"]
        limit = time.monotonic() + LIMIT_S
        while self.call("Page.getFrameTree")["frameTree"]["frame"]["loaderId"] != loader:
            assert time.monotonic() < limit, f"{url} was not opened"
            time.sleep(0.02)

    def run(self, script):
        """The value of a JavaScript expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", script))
        return result["result"].get("value")

    def wait(self, script, seconds=20):
        seconds *= 5 * float(os.environ.get("SPOTON_TEST_SLOWER", "1"))
        limit = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < limit, f"never true within {seconds} s: {script}"
            time.sleep(0.05)
        return value

    def key(self, key, shift=False):
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key],
                "modifiers": 8 if shift else 0}
        text = {"Enter": "\r", " ": " "}.get(key)
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def errors(self):
        """Errors and warnings of the console, and exceptions."""
        self.run("1")  # processes all events up to now
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            what = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(str(what["args"]))
            elif event["method"] == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
        return found

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser.events = [event for event in self.browser.events
                               if event.get("sessionId") != self.session]
