"""The direction of imports: what each file may know, what stays unloaded, and that any module can come first."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("m", "sinks")

# Which modules stand on which row. A file imports only from lower rows, and from its own place on its own row.
ROWS = [
    ("m.lazy", -1),  # serves the packages themselves
    ("m.metrics", 0),
    ("m.journal", 1),
    ("m.health", 1),
    ("m.hub", 2),
    ("sinks", 3),
    ("m.rich_trainer_viz", 4),
    ("m.training_viz", 4),
    ("m.examples", 5),
    ("m.cli", 6),  # its demo runs the example
    ("m.__main__", 7),
]
WHOLE_SINKS = ("sinks.terminal", "sinks.plotting")  # packages that are one sink each


def modules() -> list[str]:
    """Every module of the library, by the name under which it is imported."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


MODULES = modules()


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def row_of(module: str) -> int | None:
    """The row of ``module``; None for the packages that gather names from several."""
    for prefix, row in ROWS:
        if module == prefix or module.startswith(prefix + "."):
            return row
    return None


def place_of(module: str) -> str:
    """Modules of one place may know each other: all of ``m.hub``, one sink, one facade."""
    if module.startswith("sinks"):
        for whole in WHOLE_SINKS:
            if module == whole or module.startswith(whole + "."):
                return whole
        return module
    return ".".join(module.split(".")[:2])


def imports(module: str, *, when_loaded: bool = False) -> Iterator[str]:
    """The modules of ours that ``module`` names in imports, wherever they stand.

    With ``when_loaded`` only those that run as it is loaded: neither inside functions nor under ``TYPE_CHECKING``.
    """
    waiting: list[ast.AST] = [ast.parse(path_of(module).read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if when_loaded and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if when_loaded and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; name the file"
            base = node.module or ""
            named = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]
        else:
            continue
        yield from (name for name in named if name.split(".")[0] in PACKAGES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_knows_only_lower_rows(module: str) -> None:
    row = row_of(module)
    for imported in imports(module):
        if module == "m":
            assert row_of(imported) in (-1, 0, 1, 2), f"m gathers rows 0 to 2, not {imported}"
        elif module == "sinks":
            assert row_of(imported) in (-1, 3)
        else:
            assert imported not in PACKAGES, f"{module} imports the package {imported} itself; name the file"
            assert row is not None, f"{module} has no row"
            other = row_of(imported)
            assert other is not None
            assert other < row or place_of(imported) == place_of(module), f"{module} must not know {imported}"
            assert row != 3 or other != 2, f"{module} is a sink and must not know the hub ({imported})"


def test_no_module_needs_itself_to_be_loaded() -> None:
    """A cycle works from one end and fails from the other, on a half-built module."""
    needs = {module: set(imports(module, when_loaded=True)) - {module} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for needed in sorted(needs.get(module, ())):
                visit(needed, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_each_module_can_be_imported_first() -> None:
    """With nothing else of ours loaded: once anything is, a circle of imports may not show."""
    first = [module for module in MODULES if not module.endswith("__main__")]
    outcome = python(
        "import importlib, sys\n"
        f"for module in {first}:\n"
        f"    for ours in [name for name in sys.modules if name.split('.')[0] in {PACKAGES}]:\n"
        "        del sys.modules[ours]\n"
        "    try:\n"
        "        importlib.import_module(module)\n"
        "    except Exception as error:\n"
        "        print(module, repr(error))\n"
    )
    assert (outcome.stdout, outcome.stderr) == ("", "")


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        ("import m", ["rich", "matplotlib", "numpy", "sinks", "psutil", "pynvml", "torch", "jax"]),
        ("import sinks", ["rich", "matplotlib", "torch", "jax"]),
        ("from sinks import JsonlSink", ["rich", "matplotlib", "torch", "jax"]),
        ("from sinks import TerminalSink", ["matplotlib", "torch", "jax"]),
    ],
)
def test_what_is_heavy_stays_unloaded(statement: str, unloaded: list[str]) -> None:
    outcome = python(f"{statement}\nimport sys\nprint(*[name for name in {unloaded} if name in sys.modules])")
    assert outcome.stderr == ""
    assert outcome.stdout.split() == []


@pytest.mark.parametrize("package", [*PACKAGES, "m.journal"])
def test_the_public_names_exist_and_are_listed_in_order(package: str) -> None:
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_the_package_lists_hold_every_folder() -> None:
    """A package that is not listed works here and is missing where it is installed."""
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts) for name in PACKAGES for path in (ROOT / name).rglob("*.py")
    }
    assert folders == set(listed)
