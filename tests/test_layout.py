"""The house as docs/architecture.md draws it: imports only point down, and importing costs nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xcodec
from xcodec.models.registry import FAMILIES

SOURCE = Path(__file__).parent.parent / "src" / "xcodec"

# Top to bottom. A file may import from its own floor's package and from any floor below, never from one above.
FLOORS = [
    "cli",
    "serving",
    "probing",
    "training",
    "evaluation",
    "tokenization",
    "llasa",
    "export",
    "streaming",
    "codec",
    "loading",
    "compat",
    "conversion",
    "models",
    "quantizers",
    "modules",
    "kernels",
    "runtime",
    "code_text",
    "code_stream",
    "recording_codec",
    "batching",
    "segmentation",
    "codes",
    "bandwidth",
    "audio",
    "notebook",
    "listing",
    "progress",
    "location",
    "files",
    "device",
    "built_in",
    "errors",
]


def floor_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_floors(path: Path) -> set[str]:
    """The floors that a source file imports from, those under `if TYPE_CHECKING` and inside functions included."""
    floors = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor they reach; write xcodec.<floor>"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("xcodec."):
                first = name.split(".")[1]
                floors.add(xcodec._HOME.get(first, name).split(".")[1])  # `from xcodec import Codec` is xcodec.codec
    floors.discard("__version__")
    assert floors <= set(FLOORS), f"{path} imports from no known floor: {sorted(floors - set(FLOORS))}"
    return floors


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_point_down(path: Path) -> None:
    floor = floor_of(path)
    if floor == "__init__":
        return
    if floor == "__main__":
        floor = "cli"
    assert floor in FLOORS, f"{path} stands on no floor; add it to FLOORS and to docs/architecture.md"
    upward = {other for other in imported_floors(path) if FLOORS.index(other) < FLOORS.index(floor)}
    assert not upward, f"{path} imports from above itself: {sorted(upward)}"


def test_an_upward_import_would_be_found(tmp_path: Path) -> None:
    source = tmp_path / "fbank.py"
    source.write_text("from xcodec.codec import Codec\nfrom xcodec import codes\n")
    assert imported_floors(source) == {"codec", "codes"}


@pytest.mark.parametrize(
    ("line", "floor"),
    [
        ("from xcodec import Codec", "codec"),
        ("from xcodec import Xcodec2Model", "models"),
        ("from xcodec import InputError", "errors"),
        ("import xcodec.cli.app", "cli"),
    ],
)
def test_a_name_of_the_package_is_an_import_from_where_it_lives(tmp_path: Path, line: str, floor: str) -> None:
    source = tmp_path / "fbank.py"
    source.write_text(f"def f() -> None:\n    {line}\n")
    assert imported_floors(source) == {floor}


def test_an_import_from_no_known_floor_is_found(tmp_path: Path) -> None:
    source = tmp_path / "fbank.py"
    source.write_text("from xcodec import Vocoder\n")
    with pytest.raises(AssertionError, match=r"no known floor: \['Vocoder'\]"):
        imported_floors(source)


# Who may name a family of codecs: the registry and what it lists, and what is written for one family.
NAMES_FAMILIES = (
    "export/blocks.py",
    "export/local_blocks.py",
    "models/",
    "conversion/",
    "compat/",
    "training/generators/",
    "__init__.py",
)
# Libraries that draw on a screen, and who may use them.
SCREEN = ("rich", "typer")


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def test_families_are_named_where_they_live_and_in_the_registry() -> None:
    families = tuple(f"xcodec.models.{family}" for family in FAMILIES)
    for path in SOURCE.rglob("*.py"):
        if not relative(path).startswith(NAMES_FAMILIES):
            named = [module for module in imported_modules(path) if f"{module}.".startswith(families)]
            assert not named, f"{path} names {named}: talk to CodecModel, or add what is missing to Family"


def test_only_the_command_line_draws_on_a_screen() -> None:
    for path in SOURCE.rglob("*.py"):
        if relative(path).startswith("cli/"):
            continue
        drawing = [module for module in imported_modules(path) if module.split(".")[0] in SCREEN]
        assert not drawing, f"{path} imports {drawing}; what is shown is shown by cli/"
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not any(isinstance(name, ast.Name) and name.id == "print" for name in calls), f"{path} prints"


def test_every_file_has_its_place_in_the_drawing_of_the_house() -> None:
    drawing = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
    names = set(re.findall(r"\w+", drawing))
    absent = [relative(path) for path in SOURCE.rglob("*.py") if path.stem not in names and path.stem[:2] != "__"]
    assert not absent, f"docs/architecture.md does not say what these are for: {sorted(absent)}"


def test_importing_the_package_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, xcodec; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_public_name_can_be_imported() -> None:
    for name in xcodec.__all__:
        assert getattr(xcodec, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Codecs'"):
        _ = xcodec.Codecs
