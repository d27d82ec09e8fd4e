"""The pages in a real browser: `python pages_client.py http://127.0.0.1:8000 [KEY [FOLDER]]`.

Drives Chromium over its DevTools protocol. Swagger UI must send the default example of `POST /predict` and show 200, ReDoc must
show the document, nothing may be fetched from elsewhere, and the console must stay silent. With a key the page's "Authorize" has
to take it. Screenshots go to FOLDER.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

URL = sys.argv[1].rstrip("/")
KEY = sys.argv[2] if len(sys.argv) > 2 else None
SHOTS = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
PATIENCE = 60


class Page:
    """One tab, with what it asked for and what it complained of."""

    def __init__(self, port):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        told = json.load(urllib.request.urlopen(request))
        self.socket = websocket.create_connection(told["webSocketDebuggerUrl"], suppress_origin=True, timeout=PATIENCE)
        self.count, self.asked, self.complaints, self.statuses = 0, [], [], {}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=1300, height=1500, deviceScaleFactor=1, mobile=False)

    def send(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                return message.get("result", {})
            self.note(message)

    def note(self, message):
        kind, params = message.get("method"), message.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif kind == "Network.responseReceived":
            self.statuses[params["response"]["url"]] = params["response"]["status"]
        elif kind == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("text", "exception"))
        elif kind == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(str([one.get("value") or one.get("description") for one in params["args"]])[:300])
        elif kind == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"] + " " + params["entry"].get("url", ""))

    def run(self, script):
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer.get("result", {}).get("value")

    def until(self, script):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.run(script)
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"never true: {script}; {self.complaints}")

    def go(self, url):
        self.send("Page.navigate", url=url)

    def shot(self, name):
        if SHOTS:
            SHOTS.mkdir(parents=True, exist_ok=True)
            data = self.send("Page.captureScreenshot", format="png")["data"]
            (SHOTS / f"{name}.png").write_bytes(base64.b64decode(data))

    def check(self):
        elsewhere = [url for url in self.asked if not url.startswith((URL, "data:", "blob:", "about:"))]
        assert not elsewhere, elsewhere
        assert not self.complaints, self.complaints


def swagger(port, path, authorize):
    page = Page(port)
    page.go(URL + path)
    page.until("document.querySelectorAll('.opblock').length > 40")
    assert page.run("getComputedStyle(document.querySelector('.topbar') || document.head).display") == "none"
    if KEY and authorize:
        page.run("document.querySelector('.btn.authorize').click()")
        page.until("!!document.querySelector('.auth-container input')")
        page.run(
            """(() => {
                const input = document.querySelector('.auth-container input');
                const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
                set.call(input, %s);
                input.dispatchEvent(new Event('input', { bubbles: true }));
                document.querySelector('.auth-btn-wrapper .authorize').click();
            })()"""
            % json.dumps(KEY)
        )
        page.until("!!document.querySelector('.auth-btn-wrapper button.btn-done')")
        page.shot("authorize")
        page.run("document.querySelector('.auth-btn-wrapper button.btn-done').click()")
    block = "document.querySelector('#operations-Predictions-predict')"
    page.run(f"{block}.querySelector('.opblock-summary-control').click()")
    page.until(f"!!{block}.querySelector('.execute')")
    page.run(f"{block}.querySelector('.execute').click()")
    status = page.until(f"{block}.querySelector('.live-responses-table tbody .response-col_status')?.textContent")
    assert status.startswith("200"), (status, page.run(f"{block}.querySelector('.live-responses-table').textContent")[:500])
    page.run(f"{block}.querySelector('.live-responses-table').scrollIntoView({{ block: 'center' }})")
    page.shot("swagger" + path.replace("/", "_"))
    page.check()


def redoc(port, path):
    page = Page(port)
    page.go(URL + path)
    page.until("document.body?.innerText.includes('One prediction') && document.querySelectorAll('[data-section-id]').length > 40")
    time.sleep(1)
    page.shot("redoc")
    page.check()


def chromium(folder):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        print("skipped: no Chromium here")
        sys.exit(0)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}",
             "--disable-background-networking", "--no-first-run", "about:blank"]
    return subprocess.Popen([program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = chromium(folder)
        try:
            told, end = pathlib.Path(folder) / "DevToolsActivePort", time.monotonic() + PATIENCE
            while not (told.exists() and told.read_text().count("\n")) and time.monotonic() < end:
                time.sleep(0.1)
            port = told.read_text().split()[0]
            for path in ("/docs", "/docs/", "/api/v1/docs"):
                # The page remembers the key for the others.
                swagger(port, path, path == "/docs")
            redoc(port, "/redoc")
            redoc(port, "/api/v1/redoc")
        finally:
            browser.terminate()
            browser.wait()
    print("pages: Swagger UI predicts, ReDoc shows, nothing from elsewhere")


main()
