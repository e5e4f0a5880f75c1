"""What the docs name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from gateway import endpoints
from shared.catalogue import ENGINES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RECIPES = re.findall(r"^\d+\. .*(?:\n   .*)*", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)


def files(text: str) -> list[str]:
    return re.findall(r"`((?:bench|deploy|docs|gateway|inferq|shared|tests|worker)/[\w./-]*)`", text)


def words(path: Path) -> list[str]:
    return re.findall(r"\w+", path.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_are_there(page: Path) -> None:
    assert not [name for name in files(page.read_text("utf-8")) if not (ROOT / name).exists()]


@pytest.mark.parametrize("step", RECIPES, ids=lambda step: step.partition(":")[0])
def test_names_in_a_recipe_stand_in_its_files(step: str) -> None:
    known = {word for name in files(step) if (ROOT / name).is_file() for word in words(ROOT / name)}
    assert not {word for word in re.findall(r"`(\w+)`", step) if word not in known}


@pytest.mark.parametrize("page", ["glossary.md", "models.md"])
def test_every_engine_is_named(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert not [name for name in ENGINES if f"`{name}`" not in text]


def test_there_are_recipes() -> None:
    assert len(RECIPES) > 20
    assert {"FORMATS", "RUNNERS", "REGISTRY", "MUTANTS"} <= set(re.findall(r"`(\w+)`", "\n".join(RECIPES)))


def test_every_endpoint_is_named_and_no_other() -> None:
    app = Flask(__name__, static_folder=None)
    endpoints.init_app(app)
    there = {
        (method, re.sub(r"<[^>]*>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    said = re.findall(r"`(GET|POST|DELETE) ([^`?]+)[^`]*`(?=.*\|$)", page, re.M)
    assert {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path in said} == there
