"""Links of README.md and of all pages: every relative one leads to a file, every anchor to a heading, in the repository
and in the site (`mkdocs build --strict` in `.ci/run` says so again)."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


@pytest.fixture(scope="module")
def site() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        return importlib.import_module("site_files")


def prose(page: Path) -> str:
    return re.sub(r"```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """Anchors of headings that repositories and the site make alike."""
    titles = [re.sub(r"[`*]", "", title) for title in re.findall(r"^#{1,6} (.*)$", prose(page), re.M)]
    bare = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles]
    return {re.sub(r"\s", "-", title) for title in bare} & {re.sub(r"[-\s]+", "-", title) for title in bare}


def broken(page: Path) -> list[str]:
    """Relative links without a file or a heading."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page))):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not ("://" in link or (target.is_file() and (not anchor or anchor in anchors(target)))):
            found.append(link)
    return found


def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(site: ModuleType) -> None:
    assert len(site.pages()) > 20
    assert {page.name: links for page in site.pages() if (links := broken(page))} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# A & B\n[x](a.md#one-two) [y](no.md) [z](#one-two)\n## One `two`\n[q](a.md#a--b)\n"
    )
    assert broken(tmp_path / "a.md") == ["no.md", "a.md#a--b"]


def leaves(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [leaf for part in (entry.values() if isinstance(entry, dict) else entry) for leaf in leaves(part)]  # type: ignore[attr-defined]


def test_the_contents_of_the_site_name_every_page_once(site: ModuleType) -> None:
    assert sorted(leaves(SETTINGS["nav"])) == sorted(page.relative_to(ROOT).as_posix() for page in site.pages())
    assert all((ROOT / name).is_file() for name in (*SETTINGS["hooks"], *SETTINGS["extra_css"]))


def test_ci_builds_the_site_and_lets_no_dead_link_pass() -> None:
    command = (ROOT / ".ci" / "run").read_text()
    assert "-r requirements-docs.txt" in command and "mkdocs build -q --strict" in command
    assert "mkdocs" in (ROOT / "requirements-docs.txt").read_text()
