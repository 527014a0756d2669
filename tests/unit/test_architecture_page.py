"""What the architecture page names exists, and no module is missing from it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import tiffin

SOURCES = Path(tiffin.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROOMS = {
    room: re.findall(r"`(\w+)`", contents)
    for room, contents in re.findall(r"^\| `tiffin\.(\w+)` \| (.*) \|$", TEXT, re.M)
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tiffin\.[\w.]+)`", TEXT))))
def test_a_dotted_name_exists(name: str) -> None:
    parts = name.split(".")
    if parts[-1][0].isupper():
        assert hasattr(import_module(".".join(parts[:-1])), parts[-1])
    else:
        import_module(name)


def test_every_room_has_a_row() -> None:
    rooms = {p.stem for p in SOURCES.glob("[!_.]*") if p.name != "py.typed"}
    assert set(ROOMS) == rooms


@pytest.mark.parametrize("room", [r for r in ROOMS if (SOURCES / r).is_dir()])
def test_the_row_of_a_room_names_all_of_its_modules(room: str) -> None:
    modules = {
        path.stem for path in (SOURCES / room).iterdir() if path.stem[0] not in "_."
    }
    modules -= {room, "py"}  # `template.template`
    if room in ("compat", "testing"):  # described as a whole
        return
    assert modules <= set(ROOMS[room]), modules - set(ROOMS[room])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_what_its_row_names(room: str) -> None:
    for name in ROOMS[room]:
        found = (SOURCES / room / f"{name}.py").exists()
        found |= (SOURCES / room / name).is_dir()
        found |= name in ("axes", "colour")
        assert found or hasattr(import_module(f"tiffin.{room}"), name), name


@pytest.mark.parametrize(
    ("owner", "name"),
    re.findall(r"`(\w+)` (?:in|\()\s*\(?`(tiffin\.[\w.]+)`", TEXT),
)
def test_what_is_in_a_module_is_there(owner: str, name: str) -> None:
    if owner == "writer":  # of the model of settings
        assert hasattr(import_module(name).Settings, owner)
    else:
        assert hasattr(import_module(name), owner)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`Pipeline\.(\w+)`", TEXT))))
def test_a_method_of_the_pipeline_exists(name: str) -> None:
    from tiffin.export import Pipeline

    assert hasattr(Pipeline, name)


def test_the_floors_are_those_of_the_contract() -> None:
    import tomllib

    with (PAGE.parents[2] / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(c for c in contracts if c["type"] == "layers")["layers"]
    floors = [line.split("  ")[0] for line in TEXT.split("```text\n")[2].splitlines()]
    assert floors[: len(layers)] == layers
