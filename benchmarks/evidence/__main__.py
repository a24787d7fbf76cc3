"""All benchmarks of the evidence: `python -m benchmarks.evidence` from the root of the repository.

    python -m benchmarks.evidence                      everything; about an hour and a half with the peers
    python -m benchmarks.evidence speed --peers ENVS   one part
    python -m benchmarks.evidence --page docs/benchmarks.md --table-only

What comes out stands in results/, one Markdown file per part, and between two marks of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BEGIN, END = "<!-- evidence: begin -->", "<!-- evidence: end -->"
PARTS = {  # name -> heading, and the runs that make it
    "speed": ("Time and memory, beside three peers", (("speed",),)),
    "power": (
        "Planted leaks: power and false alarms",
        (
            ("power", "--rows", "1000"),
            ("power", "--rows", "300"),
            ("power", "--rows", "5000", "--seeds", "10"),
        ),
    ),
    "coverage": ("Combining rules: coverage of 95 % intervals", (("coverage",),)),
    "agreement": ("Agreement with other libraries", (("agreement",),)),
    "policies": ("What each policy says of honest and of leaking copies", (("policies",),)),
    "reporttime": ("The report: size and time to open", (("reporttime",),)),
}


def main() -> None:
    """Run what is asked for, keep what it printed, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of: {', '.join(PARTS)}; all by default")
    parser.add_argument("--peers", help="folder of the peers' environments, for the part speed")
    parser.add_argument("--data", default="../shared/data", help="folder of the public data sets")
    parser.add_argument("--page", type=Path, help="page whose part between the evidence marks is written anew")
    parser.add_argument("--table-only", action="store_true", help="print earlier results, run nothing")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"Unknown parts: {', '.join(sorted(unknown))}. Known: {', '.join(PARTS)}.")
    place = HERE / "results"
    place.mkdir(exist_ok=True)
    for name in () if given.table_only else given.parts or PARTS:
        texts = []
        for module, *arguments in PARTS[name][1]:
            if name == "speed":
                arguments += ["--data", given.data, *(["--peers", given.peers] if given.peers else [])]
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.evidence.{module}", *arguments],
                cwd=ROOT,
                check=False,
                stdout=subprocess.PIPE,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"{module} ended with {done.returncode}; its earlier result was left as it is.")
            texts.append(f"`python -m {' '.join(['benchmarks.evidence.' + module, *PARTS[name][1][len(texts)][1:]])}`")
            told = done.stdout.strip()
            texts[-1] += f"\n\n```json\n{told}\n```\n" if told.startswith("[") else f"\n\n{told}\n"
        (place / f"{name}.md").write_text("\n".join(texts), encoding="utf-8")
    text = _whole(place)
    print(text)
    if given.page:
        head, _, rest = given.page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, tail = rest.partition(END)
        given.page.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")


def _whole(place: Path) -> str:
    names = ("numpy", "scipy", "polars", "scikit-learn")
    told = ", ".join(f"{one} {version(one)}" for one in ("ehrsatz", *names))
    parts = [f"With Python {platform.python_version()}, {told}.", ""]
    for name, (heading, _) in PARTS.items():
        path = place / f"{name}.md"
        if path.exists():
            parts += [f"### {heading}", "", path.read_text(encoding="utf-8")]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
