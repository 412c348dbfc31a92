"""Takes the pages that stand outside `docs/` into the site: the reports and the changelog."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add `reports/*.md` with their figures, the changelog and the architecture."""
    pages = [*ROOT.glob("reports/*.md"), *ROOT.glob("reports/figures/*"), ROOT / "CHANGELOG.md"]
    for page in sorted(pages):
        name = page.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(page)))
    text = (ROOT / "ARCHITECTURE.md").read_text()
    files.append(File.generated(config, "how-it-works.md", content=text))
    return files
