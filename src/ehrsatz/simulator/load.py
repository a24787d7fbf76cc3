"""Reads disease modules: the bundled ones and a user's folder, checked each by itself and all together.

Every problem is collected with its file and place before anything is refused. The order in which conditions and
episodes are drawn follows from what each of them hangs on.

References
----------
Kahn AB, Topological sorting of large networks, Commun ACM 1962;5:558, doi:10.1145/368996.369025.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ehrsatz.errors import ScenarioError
from ehrsatz.scenario import validated
from ehrsatz.simulator.crosscheck import crosscheck
from ehrsatz.simulator.facts import Facts, known_facts
from ehrsatz.simulator.module import Condition, Episode, Module

FOLDER = Path(__file__).parent / "modules"
ADVICE = "Correct the places named below; docs/simulator/modules.md describes the form of a module."
Entity = Condition | Episode


@dataclass(frozen=True)
class Modules:
    """All modules of a run, and their conditions and episodes in causal order.

    Parameters
    ----------
    modules
        By name.
    order
        Every condition and episode after all that it hangs on.
    """

    modules: Mapping[str, Module]
    order: tuple[Entity, ...]

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """Conditions by id, in causal order."""
        return {one.id: one for one in self.order if isinstance(one, Condition)}

    @cached_property
    def episodes(self) -> dict[str, Episode]:
        """Episodes by id, in causal order."""
        return {one.id: one for one in self.order if isinstance(one, Episode)}

    @cached_property
    def home(self) -> dict[str, Module]:
        """The module that each condition and episode stands in, by id."""
        return {one.id: module for module in self.modules.values() for one in entities(module)}


def load_modules(folder: str | Path | None = None, *, facts: Facts | None = None) -> Modules:
    """Read the bundled modules and those of a folder, check them together, and put them in causal order.

    A module of the folder takes the place of the bundled one of the same name, as a whole.

    Parameters
    ----------
    folder
        Holds more modules, one JSON file each, and may hold `codes.csv` with codes that do not ship; None means the
        bundled modules alone.
    facts
        Names and codes that modules may use; None means those that come with the package.

    Raises
    ------
    ScenarioError
        When a file is no JSON or no module, or when modules name what is not there, hold an id twice, or hang on each
        other in a circle. All problems are listed, with file and place.
    """
    found: dict[str, Module] = {}
    loose: set[str] = set()  # ids of files that are wrong in themselves: named elsewhere, they are not unknown
    problems: list[str] = []
    homes = [FOLDER] if folder is None else [FOLDER, Path(folder)]
    for home in homes:
        for path in _files(home):
            module, ids, wrong = _read(path)
            problems += wrong
            if module is None:
                loose |= ids
            else:
                found[module.module] = module
    modules = {name: found[name] for name in sorted(found)}
    problems += _twice(modules)
    problems += crosscheck(modules.values(), facts or known_facts(homes[-1]), loose)
    order, circle = _order([one for module in modules.values() for one in entities(module)])
    if circle:
        problems.append(f"{' and '.join(_homes(modules, circle))}: a circle: {' hangs on '.join(circle)}")
    if problems:
        raise ScenarioError(
            "Expected disease modules that can be used together.",
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found.",
            ADVICE,
            problems=problems,
        )
    return Modules(modules, order)


def entities(module: Module) -> tuple[Entity, ...]:
    """Return the conditions and episodes of a module, in the order of its file."""
    return (*module.conditions, *module.episodes)


def requirements(entity: Entity, movers: Mapping[str, Collection[str]]) -> set[str]:
    """Return the ids of what must be drawn before a condition or an episode.

    Parameters
    ----------
    entity
        Its `requires`, `excludes` and risks are read, and the risks of its stages.
    movers
        Process -> ids of the conditions that move it, themselves or by their treatment.
    """
    out = {*entity.requires, *entity.excludes}
    stages = entity.stages if isinstance(entity, Condition) else ()
    for risk in (*entity.risk, *(risk for stage in stages for risk in stage.risk)):
        name, _, kind = risk.factor.partition(".")
        out |= set(movers.get(name, ())) if kind == "treated" else {name}
    return out - {entity.id}  # a level treated by the condition itself is that before it began


def moved(condition: Condition) -> set[str]:
    """Return the processes that a condition, its stages, drugs and procedures have an effect on."""
    effects = [
        condition.effects,
        *(stage.effects for stage in condition.stages),
        *(drug.effects for drug in condition.treatments),
        *(procedure.effects for procedure in condition.procedures),
    ]
    return {effect.process for some in effects for effect in some}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ScenarioError(
            f"Expected a folder of modules at '{folder}'.", "There is no such folder.", "Check the path."
        )
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ScenarioError(
            f"Expected modules in '{folder}'.",
            "It holds no file that ends in .json.",
            "A module is one JSON file; docs/simulator/modules.md has an example.",
        )
    return paths


def _read(path: Path) -> tuple[Module | None, set[str], list[str]]:
    """Return a file's module (None where it is wrong), the ids it holds, and its problems."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except json.JSONDecodeError as error:
        return None, set(), [f"{path.name}: line {error.lineno}, column {error.colno}: no JSON: {error.msg}"]
    except UnicodeDecodeError:
        return None, set(), [f"{path.name}: no UTF-8 text"]
    except OSError:
        return None, set(), [f"{path.name}: the file cannot be read"]
    except RecursionError:
        return None, set(), [f"{path.name}: nested too deep to be read"]
    except ValueError as error:
        return None, set(), [f"{path.name}: {error}"]
    if not isinstance(data, dict):
        return (
            None,
            set(),
            [f"{path.name}: expected an object with the keys module, title, sources, conditions, episodes"],
        )
    ids = {str(one["id"]) for one in _parts(data) if isinstance(one.get("id"), str)}
    try:
        module: Module = validated(Module, data, "module")
    except ScenarioError as error:
        return None, ids, [f"{path.name}: {_place(problem, data)}" for problem in error.problems]
    if module.module != path.stem:
        return None, ids, [f"{path.name}: module: expected the name of the file, '{path.stem}'"]
    return module, ids, []


def _parts(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("conditions", "episodes"):
        some = data.get(kind)
        yield from (one for one in some if isinstance(one, dict)) if isinstance(some, list) else ()


def _place(problem: str, data: dict[str, Any]) -> str:
    """Name the condition or episode that a problem lies in by its id."""
    kind, _, rest = problem.partition(".")
    number, _, end = rest.partition(".") if "." in rest.split(":")[0] else rest.partition(":")
    if kind not in {"conditions", "episodes"} or not number.isdigit():
        return problem
    one = data[kind][int(number)]
    name = one.get("id") if isinstance(one, dict) else None
    gap = "." if "." in rest.split(":")[0] else ":"
    return f"{kind}.{name}{gap}{end}" if isinstance(name, str) else problem


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"a key stands twice in one object: {', '.join(twice)}")
    return out


def _constant(text: str) -> float:
    raise ValueError(f"expected plain numbers, found {text}")


def _twice(modules: Mapping[str, Module]) -> list[str]:
    homes: dict[str, list[str]] = {}
    for name, module in modules.items():
        for one in entities(module):
            homes.setdefault(one.id, []).append(f"{name}.json")
    return [
        f"{' and '.join(sorted(set(files)))}: the id '{name}' stands {len(files)} times"
        for name, files in homes.items()
        if len(files) > 1
    ]


def _homes(modules: Mapping[str, Module], names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [f"{name}.json" for name, module in modules.items() if wanted & {one.id for one in entities(module)}]


def _order(all_of_them: list[Entity]) -> tuple[tuple[Entity, ...], list[str]]:
    """Return everything in causal order, and the ids of a circle, first one repeated, where there is one.

    What a drug must not meet (`avoid`) comes before it where no circle forbids that; else ids decide, so that the
    order is always the same.
    """
    by_id = {one.id: one for one in all_of_them}
    movers: dict[str, set[str]] = {}
    for one in all_of_them:
        for process in moved(one) if isinstance(one, Condition) else ():
            movers.setdefault(process, set()).add(one.id)
    hard = {name: requirements(one, movers) & by_id.keys() for name, one in by_id.items()}
    soft = {
        name: {other.partition(".")[0] for drug in one.treatments for other in drug.avoid} & by_id.keys()
        for name, one in by_id.items()
    }
    done: set[str] = set()
    order: list[Entity] = []
    while len(order) < len(by_id):
        ready = [name for name in by_id if name not in done and hard[name] <= done]
        if not ready:
            return tuple(order), _circle({name: hard[name] - done for name in by_id if name not in done})
        name = min(ready, key=lambda one: (len(soft[one] - done), one))
        done.add(name)
        order.append(by_id[name])
    return tuple(order), []


def _circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Return the shortest circle in a graph where everything hangs on something."""
    best: list[str] = []
    for start in sorted(graph):
        way: dict[str, str] = {}
        level = [start]
        while level and start not in way:
            following = []
            for name in level:
                for other in sorted(graph[name]):
                    if other not in way:
                        way[other] = name
                        following.append(other)
            level = following
        if start in way:
            path = [start]
            while len(path) == 1 or path[-1] != start:
                path.append(way[path[-1]])
            if not best or len(path) < len(best):
                best = path[::-1]
    return best
