"""The package's floors, as far as import-linter cannot see them (its contracts: setup.cfg)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

PACKAGE = Path(fastrnn.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Lines beyond which a module should become two.
MOST_LINES = 420

#: What takes long to import, or may be absent.
HEAVY = {"numba", "llvmlite", "matplotlib", "typer", "sympy"}


def names_in(path: Path) -> set[str]:
    """Every name that a module's code uses, imports or takes from something."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names.add(node.name)
    return names


def test_njit_stands_in_one_module() -> None:
    users = [m.relative_to(PACKAGE).as_posix() for m in MODULES if "njit" in names_in(m)]
    assert users == ["kernels/jit.py"]


def test_no_module_is_too_long() -> None:
    lengths = {
        module.relative_to(PACKAGE).as_posix(): len(module.read_bytes().splitlines())
        for module in MODULES
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def loaded_by(code: str) -> set[str]:
    """The modules that are loaded after a program, in a process of its own."""
    return set(
        subprocess.run(
            [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
            cwd=PACKAGE.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    )


def test_import_of_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import fastrnn")
    assert "fastrnn" in loaded
    assert not loaded & {*HEAVY, "fastrnn.compat", "fastrnn.reference"}


@pytest.mark.parametrize("floor", ["compat", "reference"])
def test_every_program_is_reached_from_the_package(floor: str) -> None:
    """As in ``import fastrnn``, then ``fastrnn.compat.course``; this loads nothing heavy either."""
    names = [path.stem for path in (PACKAGE / floor).glob("[!_]*.py")]
    asked = ", ".join(f"fastrnn.{floor}.{name}" for name in names)
    listed = f"assert '{floor}' in dir(fastrnn) and {set(names)} <= {{*dir(fastrnn.{floor})}}"
    loaded = loaded_by(f"import fastrnn; {listed}; {asked}")
    assert loaded >= {f"fastrnn.{floor}.{name}" for name in names}
    assert not loaded & HEAVY
