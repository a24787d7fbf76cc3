"""How long the report takes to write and to open: tables of many columns, opened in headless Chromium.

`python -m benchmarks.evidence.reporttime --columns 100 1000` evaluates made-up tables with every registered metric,
writes the report, and opens it over a loopback server that adds a few lines of script to what it sends: they tell when
the page was loaded and painted. Nothing else about the page is changed. Prints one JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TELL = """<script>addEventListener("load",()=>requestAnimationFrame(()=>requestAnimationFrame(()=>{
const t=performance.getEntriesByType("navigation")[0],p=performance.getEntriesByName("first-contentful-paint")[0];
fetch("/told",{method:"POST",body:JSON.stringify({first_paint_ms:p?p.startTime:null,loaded_ms:t.domContentLoadedEventEnd,
painted_ms:performance.now(),elements:document.getElementsByTagName("*").length,
wider:document.documentElement.scrollWidth>innerWidth})})})))</script>"""


def table(rows: int, columns: int, seed: int) -> Any:
    """Return a made-up table: every third column has levels, every fifth has gaps, all hang on one hidden number."""
    from ehrsatz.dataset import Dataset
    from ehrsatz.provenance import Provenance
    from ehrsatz.schema import Column, Schema, Table
    from ehrsatz.seeds import stream

    rng = stream(seed, "reporttime")
    hidden = rng.normal(size=rows)
    cells, kinds = {}, []
    for i in range(columns):
        x = hidden * ((i % 7) / 7) + rng.normal(size=rows)
        name = f"measurement_{i:04d}"
        if i % 3 == 0:
            cells[name] = pl.Series([f"level {int(v)}" for v in (3 + x).clip(0, 6)], dtype=pl.String)
            kinds.append(Column(name, "category", disclosure="quasi" if i == 0 else "none"))
        else:
            values: list[float | None] = [round(float(v), 2) for v in 50 + 10 * x]
            if i % 5 == 0:
                values = [None if gap else v for gap, v in zip(rng.random(rows) < 0.1, values)]
            cells[name] = pl.Series(values, dtype=pl.Float64)
            kinds.append(Column(name, "number"))
    schema = Schema("made_up", (Table("made_up", tuple(kinds)),))
    return Dataset(schema, {"made_up": pl.DataFrame(cells)}, Provenance("generated"))


def opened(page: str, browser: str, anchor: str, times: int, width: int = 1280) -> dict[str, Any]:
    """Open a page several times and return the medians of what the browser tells.

    Parameters
    ----------
    page
        The report.
    browser
        Path of the browser.
    anchor
        Page of the report to open; "all" for all at once.
    times
        How often; the first time warms up and does not count.
    width
        Of the window, pixels.
    """
    found: list[dict[str, Any]] = []
    told = threading.Event()
    body = page.replace("</body>", TELL + "</body>").encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            told.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for _ in range(times + 1):
            told.clear()
            with tempfile.TemporaryDirectory() as profile:
                command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
                address = f"http://127.0.0.1:{server.server_port}/#{anchor}"
                child = subprocess.Popen(
                    [*command, f"--window-size={width},900", "--remote-debugging-port=0", address],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                told.wait(60)
                child.terminate()
                child.wait(20)
    finally:
        server.shutdown()
    kept = found[1:]
    keys = ("first_paint_ms", "loaded_ms", "painted_ms")
    middle = {key: round(statistics.median(one[key] for one in kept)) for key in keys if kept and kept[0][key]}
    return {**middle, "elements": kept[-1]["elements"], "wider_than_window": kept[-1]["wider"], "times": len(kept)}


def main() -> None:
    """Print sizes and times as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, nargs="+", default=[100])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for the pages")
    given = parser.parse_args()
    from ehrsatz.evaluation.evaluate import evaluate
    from ehrsatz.gate.judge import judge
    from ehrsatz.report.page import render
    from ehrsatz.report.twin import twin

    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    told = []
    for columns in given.columns:
        parts = [table(given.rows, columns, seed) for seed in (1, 2, 3)]
        start = time.perf_counter()
        measured = evaluate(*parts, target="measurement_0003", seed=1)
        evaluated = time.perf_counter() - start
        start = time.perf_counter()
        data = twin(measured, judge(measured), schema=parts[2].schema, provenance=parts[2].provenance, title="Timing")
        page = render(data)
        wrote = time.perf_counter() - start
        one: dict[str, Any] = {
            "columns": columns,
            "metrics": len(measured.scores),
            "measured": sum(score.status == "measured" for score in measured.scores),
            "evaluate_s": round(evaluated, 1),
            "write_s": round(wrote, 2),
            "page_kb": round(len(page.encode()) / 1000),
            "twin_kb": round(len(json.dumps(data, ensure_ascii=False).encode()) / 1000),
        }
        if browser is not None:
            one["first page"] = opened(page, browser, "overview", given.times)
            one["all pages at once"] = opened(page, browser, "all", given.times)
            one["phone"] = opened(page, browser, "all", 1, 500)
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            given.out.joinpath(f"report-{columns}.html").write_text(page, encoding="utf-8")
        told.append(one)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
