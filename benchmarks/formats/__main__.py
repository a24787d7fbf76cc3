"""All benchmarks of the formats: `python -m benchmarks.formats` from the root of the repository.

    python -m benchmarks.formats                                     everything; about half an hour
    python -m benchmarks.formats --page docs/benchmarks.md
    python -m benchmarks.formats writing                             one part
    python -m benchmarks.formats --quick                             every part on a tiny cut
    python -m benchmarks.formats --page docs/benchmarks.md --table-only

What comes out stands in results/, one JSON file per part, and between two marks of docs/benchmarks.md. Whether outside
validators find an error is a test and no benchmark: `python -m pytest tests/exporters`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.formats import agreement, writing
from benchmarks.simulator.child import run
from benchmarks.simulator.results import kept, run_of

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- formats: begin -->", "<!-- formats: end -->"
PARTS: dict[str, tuple[str, Any, tuple[str, ...]]] = {  # heading, table, arguments when quick
    "writing": (
        "Writing and reading on one core",
        writing.table,
        ("--n", "64", "--record-years", "1", "--repeat", "1"),
    ),
    "agreement": ("One cohort in every format", agreement.table, ("--n", "32", "64")),
}


def text(name: str, place: Path) -> str:
    """Return what a part left behind as Markdown, with the day, the versions and the machine."""
    file = place / f"{name}.json"
    found = kept(file)
    if not found:
        return ""
    told = run_of(file)
    names = ", ".join(f"{key} {value}" for key, value in told["versions"].items())
    about = f"{told['date']}, Python {told['python']}, {names}; {told['machine']}, load {told['load']} at the end."
    return f"### {PARTS[name][0]}\n\n{PARTS[name][1](found)}\n{about}\n"


def main() -> None:
    """Run what is asked for, each part in a process of its own, and print what all parts left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of: {', '.join(PARTS)}; all by default")
    parser.add_argument("--page", type=Path, help="page whose part between the formats marks is written anew")
    parser.add_argument("--quick", action="store_true", help="a tiny cut of every part; kept apart from the results")
    parser.add_argument("--results", type=Path, help="folder of the results; benchmarks/formats/results by default")
    parser.add_argument("--table-only", action="store_true", help="print earlier results, run nothing")
    given = parser.parse_args()
    place = given.results or (HERE.parent / "work" / "formats" if given.quick else HERE / "results")
    place.mkdir(parents=True, exist_ok=True)
    for name in [] if given.table_only else given.parts or PARTS:
        words = [*(PARTS[name][2] if given.quick else ()), "--results", str(place.resolve())]
        ran = run([sys.executable, "-m", f"benchmarks.formats.{name}", *words])
        if ran.code:
            raise SystemExit(f"{name} ended with {ran.code}; earlier results stay.\n{ran.errors[-2000:]}")
        sys.stderr.write(f"{name}: {ran.wall_s:.0f} s, {ran.cpu_s:.0f} CPU s\n")
    whole = "\n".join(filter(None, (text(name, place) for name in PARTS)))
    print(whole)
    if given.page:
        head, begin, rest = given.page.read_text(encoding="utf-8").partition(BEGIN)
        _, end, tail = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"Expected the marks {BEGIN} and {END} in {given.page}. Add them where the part belongs.")
        given.page.write_text(f"{head}{BEGIN}\n\n{whole}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
