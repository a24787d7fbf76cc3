"""All benchmarks of the simulator: `python -m benchmarks.simulator` from the root of the repository.

    python -m benchmarks.simulator                                   everything but the peers; about an hour
    python -m benchmarks.simulator --peers ENVS --page docs/benchmarks.md
    python -m benchmarks.simulator speed workers                     some parts
    python -m benchmarks.simulator --quick                           every part on a tiny cut, a few minutes
    python -m benchmarks.simulator --page docs/benchmarks.md --table-only

What comes out stands in results/, one JSON file per part, and between two marks of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.simulator import fidelity, rules, scale, speed, start, workers
from benchmarks.simulator.child import module
from benchmarks.simulator.results import kept, run_of

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- simulator: begin -->", "<!-- simulator: end -->"
PARTS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {  # heading, module, arguments, those when quick
    "speed": (
        "Speed of one core",
        "speed",
        (),
        ("--record-years", "1", "2", "--shards", "1", "--repeat", "1", "--size", "256"),
    ),
    "scale": ("Patients, time and disk", "scale", (), ("--n", "300", "600", "1200")),
    "memory": ("Memory", "scale", ("--memory",), ("--memory", "--n", "300", "1200", "--record-years", "2")),
    "workers": (
        "Workers and bytes",
        "workers",
        (),
        ("--n", "256", "--record-years", "1", "--workers", "1", "2", "--size", "64"),
    ),
    "start": ("From the command to the first file", "start", (), ("--n", "300", "--repeat", "1")),
    "fidelity": (
        "A free cohort beside published figures",
        "fidelity",
        (),
        ("--n", "2000", "--record-years", "3"),
    ),
    "rules": ("Rules, codes, keys and stays of the bundled scenarios", "rules", (), ("--n", "200")),
}


def text(name: str, place: Path) -> str:
    """Return what a part left behind as Markdown, with the day, the versions and the machine."""
    file = place / f"{name}.json"
    found = kept(file)
    if not found:
        return ""
    told: dict[str, Any] = {
        "speed": speed.table,
        "scale": lambda one: scale.table(one) + "\n" + scale.extrapolated(one) + "\n",
        "memory": lambda one: scale.table(one) + "\n" + scale.kept_small(one) + "\n",
        "workers": workers.table,
        "start": start.table,
        "fidelity": lambda one: fidelity.table(one["clinic"]),
        "rules": rules.table,
    }
    run = run_of(file)
    names = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
    about = f"{run['date']}, Python {run['python']}, {names}; {run['machine']}, load {run['load']} at the end."
    return f"### {PARTS[name][0]}\n\n{told[name](found)}\n{about}\n"


def main() -> None:
    """Run what is asked for, each part in a process of its own, and print what all parts left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of: {', '.join((*PARTS, 'peers'))}; all by default")
    parser.add_argument("--peers", help="folder of the peers' environments; without it none is run")
    parser.add_argument("--page", type=Path, help="page whose part between the simulator marks is written anew")
    parser.add_argument("--quick", action="store_true", help="a tiny cut of every part; kept apart from the results")
    parser.add_argument("--results", type=Path, help="folder of the results; benchmarks/simulator/results by default")
    parser.add_argument("--table-only", action="store_true", help="print earlier results, run nothing")
    given = parser.parse_args()
    unknown = set(given.parts) - {*PARTS, "peers"}
    if unknown:
        raise SystemExit(f"Unknown parts: {', '.join(sorted(unknown))}. Known: {', '.join((*PARTS, 'peers'))}.")
    if "peers" in given.parts and not given.peers:
        raise SystemExit("The part peers needs --peers, a folder of environments; see benchmarks/README.md.")
    place = given.results or (HERE.parent / "work" / "simulator" if given.quick else HERE / "results")
    place.mkdir(parents=True, exist_ok=True)
    runs = [] if given.table_only else list(given.parts or PARTS)
    if given.peers and not given.parts and not given.table_only:
        runs.append("peers")
    for name in runs:
        if name == "peers":
            ran = module("peers", "--peers", given.peers, "--results", str(place.resolve()))
        else:
            _, file, whole, quick = PARTS[name]
            ran = module(file, *(quick if given.quick else whole), "--results", str(place.resolve()))
        if ran.code:
            raise SystemExit(
                f"{name} ended with {ran.code}; its earlier result was left as it is.\n{ran.errors[-2000:]}"
            )
        sys.stderr.write(f"{name}: {ran.wall_s:.0f} s, {ran.cpu_s:.0f} CPU s\n")
    whole_text = "\n".join(filter(None, (text(name, place) for name in PARTS)))
    print(whole_text)
    if given.page:
        head, begin, rest = given.page.read_text(encoding="utf-8").partition(BEGIN)
        _, end, tail = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f"Expected the marks {BEGIN} and {END} in {given.page}. Add them where the part belongs.")
        given.page.write_text(f"{head}{BEGIN}\n\n{whole_text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
