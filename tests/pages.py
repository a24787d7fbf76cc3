"""Read the blocks of a page, run them, and write their output anew: python tests/pages.py README.md docs/tutorial.md

`tests/test_docs.py` says what a block may hold. Refreshing keeps the commands and replaces the output under those that
show any; a command that ends with another exit code than the page says is named on stderr.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"(?P<before>[^\n]*\n)?^```(?P<kind>[a-z]*)\n(?P<body>.*?)^```$", flags=re.M | re.S)
SET_UP = re.compile(r"(python3 -m venv|pip |\.venv/bin/pip)")  # .ci/run does these
PROGRESS = re.compile(r"[\w ]+ \.\.\.")


@dataclass(frozen=True)
class Block:
    """A fenced block, the line before it, and where it stands."""

    kind: str
    body: str
    before: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the block is an example that runs."""
        return self.kind in {"python", "console"} and "<!-- sketch -->" not in self.before

    @property
    def code(self) -> int:
        """Exit code that its commands must end with."""
        match = re.search(r"exit: (\d+)", self.before)
        return int(match[1]) if match else 0

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Give each command of a console block with the output lines under it."""
        for part in re.split(r"^\$ ", self.body, flags=re.M)[1:]:
            lines = part.rstrip("\n").split("\n")
            n = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
            yield "\n".join(lines[:n]), [line for line in lines[n:] if line.strip()]


def blocks(text: str) -> Iterator[Block]:
    """Give the fenced blocks of a page in order."""
    for match in FENCE.finditer(text):
        yield Block(match["kind"], match["body"], match["before"] or "", text.count("\n", 0, match.start("kind")) + 1)


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a page in bash, in the current folder, with this environment's programs first."""
    place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": place, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    out = subprocess.STDOUT
    return subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=out, text=True, env=env, check=False)


def refreshed(text: str, name: str) -> str:
    """Return a page with the outputs of a run in the current folder."""
    names: dict[str, object] = {}

    def replace(match: re.Match[str]) -> str:
        block = Block(match["kind"], match["body"], match["before"] or "", 0)
        if not block.runs:
            return match[0]
        if block.kind == "python":
            exec(compile(block.body, name, "exec"), names)
            return match[0]
        lines = []
        for command, output in block.commands():
            lines.append(f"$ {command}")
            if SET_UP.match(command):
                lines += output
                continue
            done = run(command)
            if done.returncode != block.code:
                sys.stderr.write(f"{name}: {command}: exit code {done.returncode}, the page says {block.code}\n")
            if output:
                lines += aligned([line for line in done.stdout.splitlines() if not PROGRESS.fullmatch(line)])
        return f"{block.before}```console\n" + "\n".join(lines) + "\n```"

    return FENCE.sub(replace, text)


def aligned(lines: list[str]) -> list[str]:
    """Pad tab-separated lines to columns."""
    rows = [line.split("\t") for line in lines]
    n = max((len(row) for row in rows), default=0)
    widths = [max((len(row[i]) for row in rows if i < len(row) > 1), default=0) for i in range(n)]
    return [
        "  ".join(cell.ljust(widths[i]) if len(row) > 1 else cell for i, cell in enumerate(row)).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    for page in [Path(one).resolve() for one in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            page.write_text(refreshed(page.read_text(encoding="utf-8"), page.name), encoding="utf-8")
            os.chdir("/")
