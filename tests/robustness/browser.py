"""A headless Chromium driven through its DevTools protocol, for `tests.robustness.report` and the tests of reports."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--remote-debugging-port=0",
    "--remote-allow-origins=*", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE = 120.0  # seconds: a loaded machine is slow, a test never asserts on time


class NoBrowser(RuntimeError):
    """This machine has no Chromium, or no client of its protocol."""


class Tab:
    """One page: its console, its requests, its pictures."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.count = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """A command of the protocol and its result; events that come before it are kept."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": given}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._keep(message)

    def _keep(self, event: dict[str, Any]) -> None:
        match event.get("method"), event.get("params", {}):
            case "Runtime.exceptionThrown", given:
                self.errors.append(json.dumps(given["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled", {"type": "error" | "warning" | "assert"} as given:
                self.errors.append(json.dumps(given["args"])[:500])
            case "Log.entryAdded", {"entry": {"level": "error" | "warning"} as entry}:
                self.errors.append(entry["text"])
            case "Network.requestWillBeSent", given:
                self.requests.append(given["request"]["url"])
            case "Page.javascriptDialogOpening", given:
                self.errors.append(f"dialog: {given['message']}")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            if time.monotonic() > end:
                raise RuntimeError(f"never true: {script}")
            time.sleep(0.1)

    def open(self, path: Path, width: int = 1280, dark: bool = False) -> None:
        """A file, at a width in pixels."""
        self.errors, self.requests = [], []
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until(f"location.href === {json.dumps(path.resolve().as_uri())} && document.readyState === 'complete'")

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=self._whole())
        path.write_bytes(base64.b64decode(shot["data"]))

    def _whole(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": self.run("innerWidth"), "height": size["height"], "scale": 1}

    def move(self, x: float, y: float) -> None:
        """The mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drawn(self) -> None:
        """Wait until every chart of a report is drawn."""
        self.until("[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)")

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A tab of a new browser, whose profile is the folder; NoBrowser where no Chromium is installed."""
    try:
        import websocket
    except ImportError:
        raise NoBrowser("no websocket-client on this machine: pip install websocket-client") from None
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise NoBrowser("no chromium on this machine: apt-get install chromium")
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = _address(process)
            pages = json.loads(urllib.request.urlopen(f"http://{address}/json/list").read())
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            socket = websocket.create_connection(url, timeout=PATIENCE)
            try:
                yield Tab(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stderr or ():
        if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
            return found[1]
    raise RuntimeError("Chromium ended before it listened")
