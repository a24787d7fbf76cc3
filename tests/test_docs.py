"""The pages: their examples run, and everything that has a name is documented in the reference pages.

A ```python block runs; the blocks of one page run in order, in one folder and one name space. A ```console block runs
its lines that begin with "$ "; the line before the fence may hold `<!-- exit: 1 -->` for another exit code than 0. The
output lines under a command must come back, but for their numbers. A block after `<!-- sketch -->` does not run.
`python tests/pages.py PAGE...` writes the outputs anew.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import ehrsatz
from conftest import ROOT
from ehrsatz import registry
from ehrsatz.schema import Column, Constraint, ConstraintKind, Disclosure, Kind, Link, Role
from pages import SET_UP, Block, blocks, run

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = "\n".join(  # the pages that document what has a name
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("reference", "metrics", "gate", "release", "review", "rules")
)


def running(page: Path) -> list[Block]:
    return [one for one in blocks(page.read_text(encoding="utf-8")) if one.runs]


# ---------------------------------------------------------------------- examples run
@pytest.mark.parametrize("page", [page for page in PAGES if running(page)], ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for block in running(page):
            if block.kind == "python":
                exec(compile(block.body, f"{page.name}:{block.line}", "exec"), names)
            else:
                run_console(block, f"{page.name}:{block.line}")
    finally:
        os.chdir(here)


def run_console(block: Block, where: str) -> None:
    for command, output in block.commands():
        if SET_UP.match(command):
            continue
        done = run(command)
        assert done.returncode == block.code, f"{where}: {command}: exit code {done.returncode}\n{done.stdout[-1500:]}"
        told = {without_numbers(line) for line in done.stdout.splitlines()}
        lost = [line for line in output if line.strip() != "..." and without_numbers(line) not in told]
        assert not lost, f"{where}: {command}: no longer says:\n" + "\n".join(lost) + f"\nbut:\n{done.stdout[-3000:]}"


def without_numbers(line: str) -> str:
    text = re.sub(r"-?\d[\d,.]*", "0", re.sub(r"\s+", " ", line.strip()))
    return re.sub(r"^(passed, by chance|passed|missed) ", "", text)  # a score near its limit may fall either way


def test_the_check_of_examples_sees_a_changed_output(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no longer says"):
        run_console(Block("console", "$ echo one 2\ntwo 2\n", "", 1), "here")
    run_console(Block("console", "$ echo one 2\none 35\n", "", 1), "here")
    with pytest.raises(AssertionError, match="exit code 1"):
        run_console(Block("console", "$ false\n", "", 1), "here")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_examples_are_valid(page: Path) -> None:
    import yaml

    from ehrsatz.gate import Policy
    from ehrsatz.scenario import Scenario
    from ehrsatz.schema import Schema
    from ehrsatz.simulator.aggregates import KINDS, Aggregates

    for block in blocks(page.read_text(encoding="utf-8")):
        if block.kind != "yaml" or "<!-- sketch -->" in block.before:
            continue
        data = yaml.safe_load(block.body)
        if set(data) & set(KINDS):
            Aggregates.model_validate(data)
            continue
        kind = Policy if "thresholds" in data else Schema if "tables" in data else Scenario
        kind.from_dict(data)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.M)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page.name}: {target}"


# ---------------------------------------------------------------------- the README
def test_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for marker in ("run", "test"):
        match = re.search(rf"<!-- command: {marker} -->\n```[a-z]*\n(.+?)\n```", text)
        assert match and "\n" not in match[1].strip(), f"the README's {marker} command is one line after its marker"
        assert "pip install" in match[1]


def test_readme_s_first_page_says_what_matters() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = "\n".join(text.splitlines()[:60]).lower()
    for words in ("not automatically anonymous", "no proof", "not for care", "pip install"):
        assert words in first, words
    assert text.count("img.shields.io") <= 4


# ---------------------------------------------------------------------- everything that has a name is documented
def names_in(*annotations: object) -> list[str]:
    from typing import get_args

    return [name for one in annotations for name in get_args(one)]


def documented(name: str) -> bool:
    return re.search(rf"`(?:[^`\n]*[^\w`-])?{re.escape(name)}(?![\w-])[^`\n]*`", REFERENCE) is not None


@pytest.mark.parametrize("room", sorted(registry.BUILT_IN))
def test_every_variant_is_documented(room: str) -> None:
    lacking = [name for name in registry.names(room) if f"| `{name}` |" not in REFERENCE]
    assert not lacking, f"docs/reference.md has no line for the {room}: {', '.join(lacking)}"


@pytest.mark.parametrize("name", registry.names("generators"))
def test_every_parameter_of_a_generator_is_documented(name: str) -> None:
    line = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |"))
    parameters = inspect.signature(registry.find("generators", name).__init__).parameters
    page = (ROOT / "docs" / "generators.md").read_text(encoding="utf-8")
    common = re.findall(r"^\| `(\w+)` \|", page.partition("## Networks")[2].partition("\n## ")[0], re.M)
    known = [*re.findall(r"`(\w+)`", line), *(common if "generators.md#networks" in line else ())]
    lacking = [one for one in parameters if one != "self" and one not in known]
    assert not lacking, f"docs/reference.md does not name parameters of {name}: {', '.join(lacking)}"


def commands_of(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Give every command with its whole name, those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_every_command_and_option_is_documented() -> None:
    import typer.main

    from ehrsatz.cli.main import app

    group = typer.main.get_command(app)
    lacking = []
    for name, command in commands_of(group):
        lacking += [] if documented(f"ehrsatz {name}") else [name]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help" and not documented(option):
                    lacking.append(f"{name} {option}")
    for parameter in group.params:
        lacking += [one for one in parameter.opts if one not in {"--help", "-h"} and not documented(one)]
    assert not lacking, f"docs/reference.md lacks: {', '.join(lacking)}"


def test_every_documented_option_exists() -> None:
    import typer.main

    from ehrsatz.cli.main import app

    group = typer.main.get_command(app)
    known = {one for parameter in group.params for one in parameter.opts} | {"--help", "--decrypt"}  # age's own
    known |= {"--ehrsatz-n", "--ehrsatz-seed", "--ehrsatz-postgres", "--cache-clear"}  # pytest's: ehrsatz.pytest_plugin
    for _, command in commands_of(group):
        known |= {one for parameter in command.params for one in parameter.opts}
    for page in PAGES:
        if page.name == "CONTRIBUTING.md":
            continue
        for line in page.read_text(encoding="utf-8").splitlines():
            if "ehrsatz" in line or page.name == "reference.md":
                strange = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) - known - {"--check"}
                assert not strange, f"{page.name}: {', '.join(strange)}"


def test_every_scenario_key_is_documented() -> None:
    from pydantic import BaseModel

    from ehrsatz.scenario import Scenario

    lacking = []
    for name, one in Scenario.model_fields.items():
        lacking += [] if f"| `{one.alias or name}` |" in REFERENCE else [name]
        part = one.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            keys = [f"{name}.{inner.alias or key}" for key, inner in part.model_fields.items()]
            lacking += [key for key in keys if f"| `{key}` |" not in REFERENCE]
    assert not lacking, f"docs/reference.md lacks the scenario keys: {', '.join(lacking)}"


def test_every_policy_and_schema_key_is_documented() -> None:
    from ehrsatz.gate import Policy, Threshold

    keys = [*Policy.model_fields, *Threshold.model_fields]
    keys += [
        one.name for cls in (Column, Link, Constraint) for one in fields(cls) if (cls, one.name) != (Column, "name")
    ]
    keys += names_in(Kind, Role, Disclosure, ConstraintKind)
    lacking = [key for key in keys if not documented(key)]
    assert not lacking, f"docs/reference.md lacks: {', '.join(lacking)}"


def test_every_public_name_and_exit_code_is_documented() -> None:
    from ehrsatz.cli import main

    lacking = [name for name in ehrsatz.__all__ if not documented(name)]
    assert not lacking, f"docs/reference.md lacks: {', '.join(lacking)}"
    codes = [0, 1, main.USAGE, main.FAULT, main.STOPPED, main.ENDED]
    table = REFERENCE[REFERENCE.index("## Exit codes") : REFERENCE.index("## scenario.yaml")]
    assert all(str(code) in table for code in codes)


def test_changelog_names_the_version() -> None:
    assert f"## {ehrsatz.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
