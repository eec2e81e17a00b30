"""What an installation must have: README's commands, the wheel's contents, one version."""

import os
import re
import tomllib
from pathlib import Path

import pytest

import vitviz
from vitviz.resources_path import resource

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_readme_has_exactly_the_two_set_up_commands():
    commands = re.findall(r"^    (pip install .*)$", README, flags=re.MULTILINE)
    assert commands == ["pip install . && vitviz", 'pip install ".[test]" && pytest']


def test_ci_takes_its_commands_from_readme_and_can_be_run():
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert "README.md" in text
    assert "pip install ." not in text.replace("pip install .*", "")
    assert text.rstrip().endswith("\npytest")


def test_every_dependency_says_why_it_is_there():
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    listed = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"]
    for requirement in listed:
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert re.search(r'",\s+# \w', line), f"{requirement} gives no reason"


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    path = REPOSITORY / PROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{vitviz.__version__}"' in path.read_text(encoding="utf-8")


def test_resources_come_along():
    wanted = {path.relative_to(REPOSITORY / "resources") for path in (REPOSITORY / "resources").rglob("*.*")}
    assert wanted
    missing = [str(path) for path in sorted(wanted) if not resource(str(path)).is_file()]
    assert not missing


def test_entry_points_lead_to_main():
    module, _, function = PROJECT["project"]["scripts"]["vitviz"].partition(":")
    assert (module, function) == ("vitviz.cli", "main")


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("vitviz/**/*.py")), ids=str)
def test_files_stay_readable(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "it probably has two subjects: split it"
