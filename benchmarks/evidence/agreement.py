"""Do the metrics agree with well-kept libraries, or with their definition by brute force? Runs those tests, by file.

    python -m benchmarks.evidence.agreement

Agreement is asked to 1e-6 or closer, on 20 random tables where the test is over tables.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent
WHAT = "agree or statsmodels or lifelines or fairlearns or scikit"
LIBRARIES = ("scipy", "sdmetrics", "sklearn", "statsmodels", "lifelines", "fairlearn")


def main() -> None:
    """Run the tests of agreement and print one line per file."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "junit.xml"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-k",
                WHAT,
                f"--junit-xml={out}",
                "tests/evaluation",
                "tests/review",
            ],
            cwd=ROOT,
            check=False,
            capture_output=True,
        )
        cases = list(ElementTree.parse(out).iter("testcase"))
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for case in cases:
        name = str(case.get("classname")).replace(".", "/")
        (failed if case.find("failure") is not None or case.find("error") is not None else passed)[name] += 1
    print("| tests | held against | agree | differ |\n|---|---|---|---|")
    for name in sorted(passed | failed):
        text = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        used = [one for one in LIBRARIES if re.search(rf"(from|import) {one}\b|importorskip\(.{one}", text)]
        told = ", ".join(used) or "the definition, by brute force"
        print(f"| `{name}.py` | {told} | {passed[name]} | {failed[name]} |")
    print(f"\n{sum(passed.values())} agree, {sum(failed.values())} differ.")


if __name__ == "__main__":
    main()
