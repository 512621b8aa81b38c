"""Hook of `mkdocs build`: the site holds the Markdown pages of the repository and the files that they link to, under
their own paths, so that a relative link works in the repository and in the site alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOP = ("README.md", "bench/README.md", "tests/robustness/README.md")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")

__all__ = ["linked_files", "on_files", "pages"]


def pages() -> list[Path]:
    """The Markdown pages of the repository that the site shows."""
    return [ROOT / name for name in TOP] + sorted((ROOT / "docs").rglob("*.md"))


def linked_files(page: Path) -> set[Path]:
    """The files, but no folders, that a page links to by relative links."""
    targets = {target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target}
    return {path for target in targets if (path := (page.parent / target).resolve()).is_file()}


def on_files(files: Any, config: Any) -> Any:
    """Replace the files of docs/ by those of the site; the files of the theme stay."""
    from mkdocs.structure.files import File, Files

    ours = {ROOT / "docs" / "site.css", *(path for page in pages() for path in (page, *linked_files(page)))}
    theme = [file for file in files if ROOT / "docs" not in Path(file.abs_src_path).parents]
    names = sorted(path.relative_to(ROOT).as_posix() for path in ours)
    return Files([*theme, *(File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in names)])
