"""Visits of pages in a real browser that may fetch nothing from other hosts."""

import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
# The browser blocks what this does not allow, and reports it.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; report-uri /blocked"
SECONDS = 120
# Open one page after the other in a frame, wait for its formulas, and tell what is on it.
VISITS = """<!doctype html><body><script>
const pages = PAGES, found = {};
(async () => {
  for (const page of pages) {
    const frame = document.createElement("iframe");
    frame.width = 1280; frame.height = 900; frame.src = "/" + page;
    document.body.append(frame);
    await new Promise(done => frame.onload = done);
    const math = frame.contentWindow.MathJax;
    if (math && math.startup) await math.startup.promise;
    const within = frame.contentDocument;
    found[page] = {
      formulas: within.querySelectorAll(".math").length,
      set: within.querySelectorAll(".math mjx-container").length,
      wide: within.documentElement.scrollWidth - within.documentElement.clientWidth,
    };
    frame.remove();
  }
  await fetch("/done", { method: "POST", body: JSON.stringify(found) });
})();
</script></body>"""


@dataclass
class Visit:
    """What a browser found on pages."""

    # Numbers of each page: its formulas, those that were set, pixels that it is too wide.
    pages: dict[str, dict[str, int]] = field(default_factory=dict)
    # Addresses on other hosts that pages asked for, and local ones that do not exist.
    failed: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


class Handler(SimpleHTTPRequestHandler):
    """Serves the site under the policy and takes the browser's reports."""

    def __init__(self, *args: Any, visit: Visit, page: str, **kwargs: Any) -> None:
        self.visit = visit
        self.page = page
        super().__init__(*args, **kwargs)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def do_GET(self) -> None:
        if self.path != "/visits":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.page.encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        if self.path == "/blocked":
            self.visit.failed.append(body["csp-report"]["blocked-uri"])
        else:
            self.visit.pages |= body
            self.visit.done.set()

    def send_error(self, code: int, *args: Any, **kwargs: Any) -> None:
        if not self.path.endswith("favicon.ico"):
            self.visit.failed.append(f"{code} {self.path}")
        super().send_error(code, *args, **kwargs)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def visit(site: Path, pages: Sequence[str]) -> Visit:
    """Open pages of a site in a browser without a network, and say what it found."""
    assert BROWSER is not None
    found = Visit()
    opened = VISITS.replace("PAGES", json.dumps(list(pages)))
    handler = partial(Handler, visit=found, page=opened, directory=str(site))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
            f"http://127.0.0.1:{server.server_port}/visits",
        ]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert found.done.wait(SECONDS), "the browser did not come through the pages"
        finally:
            browser.terminate()
            browser.wait(10)
            server.shutdown()
    return found
