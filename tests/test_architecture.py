"""The house's rules, checked on the source itself: floors, light import, public names, docstrings, habits."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ehrsatz
from ehrsatz.registry import BUILT_IN

PACKAGE = Path(ehrsatz.__file__).parent
FLOORS = (
    {"errors"},
    {"seeds", "extras", "provenance", "registry", "threads", "markup", "files", "memory"},
    {"schema", "terminology", "parts"},
    {"clinical", "dataset", "scenario"},
    {"loose", "layouts"},  # layouts: where a format keeps the clinical columns, for its exporter and its reader
    {"mapping"},  # a user's own tables, in the words of a file
    {"sources", "simulator", "codecs", "rules", "exporters", "privacy", "llm", "defects", "mllp"},
    {"generators", "evaluation", "simulation", "reconcile"},
    {"gate"},
    {"report", "review", "dossiers", "cost"},  # what people read of scores and verdicts
    {"capsule", "documents"},
    {"cohorts", "reading"},
    {"pipeline", "testing"},
    {"steps", "estimate", "conversion"},  # the verbs of the surfaces, made of the pipeline's own
    {"monitor", "loading", "shrinking", "tuning"},
    {"cli", "web", "pytest_plugin"},
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
VARIANTS = {"sources", "codecs", "rules", "exporters", "generators", "defects"}  # rooms of variants behind one socket
HEAVY = ("polars", "numpy", "scipy", "sklearn", "pyarrow", "torch", "pandas", "narwhals")
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[str, ...]]:
    """Every import of the package's own modules, as a tuple of parts after `ehrsatz`, without type-checking ones."""
    tree = tree_of(path)
    for node in ast.walk(tree):  # type-only imports do not run
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "ehrsatz":
                    yield tuple(alias.name.split(".")[1:])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative imports hide the floor"
            parts = (node.module or "").split(".")
            if parts[0] == "ehrsatz":
                for alias in node.names:
                    inner = PACKAGE.joinpath(*parts[1:], alias.name)
                    is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                    yield (*parts[1:], alias.name) if is_module else tuple(parts[1:])


# ---------------------------------------------------------------------- floors
def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__", "bundled"}
    assert not rooms - set(FLOOR), "a new room needs its line in FLOORS"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "bundled"}:
        return
    wrong = []
    for parts in imports_of(path):
        target = parts[0] if parts else "__init__"
        if target in {"__init__", room} or target not in FLOOR:
            continue
        if FLOOR[target] >= FLOOR[room]:
            wrong.append(f"{room} (floor {FLOOR[room]}) imports {target} (floor {FLOOR[target]})")
    assert not wrong, f"{path.relative_to(PACKAGE)}: {'; '.join(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_variants_share_only_base(path: Path) -> None:
    room = room_of(path)
    if room not in VARIANTS:
        return
    registered = {
        target.partition(":")[0].split(".")[2]
        for variants in BUILT_IN.values()
        for target in variants.values()
        if target.startswith(f"ehrsatz.{room}.")
    }
    own = path.relative_to(PACKAGE).parts[1].removesuffix(".py") if path.parent != PACKAGE else ""
    if own not in registered or own == "auto":  # auto chooses among its siblings: through the registry, tested below
        return
    siblings = {parts[1] for parts in imports_of(path) if parts[:1] == (room,) and len(parts) > 1}
    assert not (siblings - {own}) & registered, f"{path.name} imports a sibling variant"


def test_auto_reaches_its_siblings_through_the_registry_alone() -> None:
    path = PACKAGE / "generators" / "auto.py"
    siblings = {parts[1] for parts in imports_of(path) if parts[:1] == ("generators",) and len(parts) > 1}
    variants = {target.partition(":")[0].rpartition(".")[2] for target in BUILT_IN["generators"].values()}
    assert not siblings & variants


def test_bundled_holds_data_alone() -> None:
    assert not list((PACKAGE / "bundled").rglob("*.py"))


# ---------------------------------------------------------------------- light import
@pytest.mark.parametrize(
    "code",
    [
        "import ehrsatz",
        "import ehrsatz.registry as r; [r.names(room) for room in r.BUILT_IN]",
        "import sys; sys.argv = ['ehrsatz', '--help']; from ehrsatz.cli.main import run; run()",
        "import sys; sys.argv = ['ehrsatz', 'fabricate', '--help']; from ehrsatz.cli.main import run; run()",
        "import sys; sys.argv = ['ehrsatz', 'doctor', '--list', 'generators']; from ehrsatz.cli.main import run; run()",
    ],
    ids=["import", "names", "help", "fabricate-help", "list"],
)
def test_stays_light(code: str) -> None:
    report = "import sys, json; sys.stderr.write('\\nMODULES ' + json.dumps(sorted(sys.modules)))"
    program = f"try:\n    exec({code!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n{report}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = json.loads(done.stderr.rpartition("MODULES ")[2])
    assert not [name for name in HEAVY if name in loaded]


def test_core_has_at_most_twelve_dependencies_and_no_torch() -> None:
    import tomllib

    project = PACKAGE.parent.parent / "pyproject.toml"
    core = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    assert len(core) <= 12
    assert not any("torch" in one for one in core)


# ---------------------------------------------------------------------- public names
def test_public_names_load_and_equal_no_room() -> None:
    for name in ehrsatz.__all__:
        assert getattr(ehrsatz, name) is not None
        if name != "errors":
            assert not (PACKAGE / name).is_dir(), f"the public name {name} is a room"
            assert not (PACKAGE / f"{name}.py").is_file(), f"the public name {name} is a room"


def test_public_names_survive_importing_every_module() -> None:
    for path in FILES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        importlib.import_module(".".join(part for part in parts if part != "__init__"))
    for name in ehrsatz.__all__:
        if name != "errors":
            assert not isinstance(getattr(ehrsatz, name), type(sys)), f"ehrsatz.{name} is a module"


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fabrikate'"):
        _ = ehrsatz.fabrikate


# ---------------------------------------------------------------------- docstrings
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_definitions(path: Path) -> Iterator[tuple[str, Definition, Definition | None]]:
    """Public functions and classes at module level, and public methods of public classes (with their class)."""
    for node in tree_of(path).body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield node.name, node, None
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner, node


def parameters_of(node: Definition, path: Path) -> set[str]:
    """Names a caller can pass: of the function, or of the class's constructor or its dataclass fields."""
    if isinstance(node, ast.ClassDef):
        names = {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                names |= parameters_of(item, path)
        return names
    spec = node.args
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]
    return {one.arg for one in every} - {"self", "cls"}


def documented_parameters(text: str) -> set[str]:
    """Names that a NumPy-style Parameters section lists."""
    match = re.search(r"^Parameters\n-{3,}\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", text, flags=re.M | re.S)
    if match is None:
        return set()
    names: set[str] = set()
    for line in match[1].splitlines():
        if line and not line.startswith((" ", "\t")):
            names |= {name.strip().lstrip("*") for name in line.split(":")[0].split(",")}
    return names - {""}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_docstrings(path: Path) -> None:
    tree = tree_of(path)
    text = path.read_text(encoding="utf-8").strip()
    problems = []
    if text and not ast.get_docstring(tree):
        problems.append("the module has no docstring")
    for name, node, owner in public_definitions(path):
        doc = ast.get_docstring(node) or ""
        inherits = isinstance(owner, ast.ClassDef) and bool(owner.bases)  # an override may rest on its base's text
        if not doc and not inherits:
            problems.append(f"{name} has no docstring")
        invented = documented_parameters(doc) - parameters_of(node, path)
        if invented:
            problems.append(f"{name} documents parameters that do not exist: {', '.join(sorted(invented))}")
    assert not problems, f"{path.relative_to(PACKAGE)}: {'; '.join(problems)}"


def test_the_docstring_check_sees_an_invented_parameter() -> None:
    section = "Parameters\n----------\nseed, rng\n    Who draws.\ndepth : int\n    How deep."
    doc = f"Do it.\n\n{section}\n\nReturns\n-------\nx\n"
    assert documented_parameters(doc) == {"seed", "rng", "depth"}


def test_every_public_override_is_documented_somewhere() -> None:
    for path in FILES:
        for name, node, owner in public_definitions(path):
            if ast.get_docstring(node) or not isinstance(owner, ast.ClassDef):
                continue
            if any(ast.unparse(base).endswith("Protocol") for base in owner.bases):
                continue  # a protocol lists fields; its own docstring says what they are
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
            bases = getattr(module, owner.name).__mro__
            short = name.rpartition(".")[2]
            assert any(getattr(vars(one).get(short), "__doc__", None) for one in bases), f"{path.name}: {name}"


# ---------------------------------------------------------------------- habits
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_habits(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    problems = []
    if len(text.splitlines()) >= 800:
        problems.append("800 lines or more")
    if path.stem in {"utils", "util", "common", "helpers", "misc"}:
        problems.append("no room is called that")
    if path.stem not in {"__init__", "pytest_plugin"} and not re.fullmatch(r"[a-z0-9]+", path.stem):
        problems.append("a file's name is one lower-case word")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            problems.append(f"line {node.lineno}: bare except")
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" and room_of(path) != "cli":
                problems.append(f"line {node.lineno}: print outside the command line")
            if called in {"time.time", "datetime.now", "datetime.today", "date.today", "socket.gethostname"} and (
                room_of(path) not in {"cli", "pipeline"}
            ):
                problems.append(f"line {node.lineno}: reads the clock or the host")
            if called in {"eval", "exec"} or called.startswith(("pickle.", "joblib.dump", "joblib.load")):
                problems.append(f"line {node.lineno}: {called}")
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if re.match(
                r"(np|numpy)\.random\.(?!Generator\b|Philox\b|SeedSequence\b|BitGenerator\b|get_state\b)", dotted
            ):
                problems.append(f"line {node.lineno}: {dotted} uses the process's own random state")
            seeds_torch = "manual_seed" in dotted and path.name != "nets.py"  # there, and given back afterwards
            if (dotted.startswith("random.") and dotted != "random.getstate") or seeds_torch:
                problems.append(f"line {node.lineno}: {dotted}")
    assert not problems, f"{path.relative_to(PACKAGE)}: {'; '.join(problems)}"


def test_the_least_number_of_subjects_stands_once() -> None:
    homes = [name for name, path in zip(NAMES, FILES) if re.search(r"^_?MIN_SUBJECTS\b.* = ", path.read_text(), re.M)]
    assert homes == ["schema.py"]


def test_every_error_class_derives_from_a_built_in_one() -> None:
    from ehrsatz import errors

    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.EhrsatzError)]
    for one in classes:
        if one is not errors.EhrsatzError:
            built_in = [base for base in one.__mro__ if base.__module__ == "builtins" and base is not Exception]
            assert built_in and built_in[0] not in {object, BaseException}, one.__name__
            assert one.__name__ in (errors.__doc__ or ""), f"{one.__name__} is absent from the tree in the docstring"
