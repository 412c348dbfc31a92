"""The figures of `docs/how-we-know.md` are those of the verifications that the project keeps."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent

ROWS = {
    "forward MACs | `torch.utils.flop_counter`": ("torch.utils.flop_counter", "macs"),
    "forward and backward MACs | `torch.utils.flop_counter`": (
        "torch.utils.flop_counter", "macs_training",
    ),
    "forward MACs | fvcore": ("fvcore", "macs"),
    "parameters | torchvision's metadata": ("torchvision's metadata", "params"),
    "forward MACs | torchvision's metadata": ("torchvision's metadata", "macs"),
}  # fmt: skip


def test_how_we_know_says_what_the_verifications_hold() -> None:
    page = (ROOT / "docs/how-we-know.md").read_text()
    found = []
    for name in ("verify", "verify-timm"):
        found += json.loads((ROOT / f"reports/data/{name}.json").read_text())["verifications"]
    assert f"**{len(found)} networks were verified" in page
    assert f"Of {len(found)} networks that were verified" in (ROOT / "README.md").read_text()
    for row, (source, quantity) in ROWS.items():
        figures = [
            figure
            for one in found
            for figure in one["figures"]
            if figure["quantity"] == quantity and figure["source"].startswith(source)
        ]
        equal = sum(
            figure["theirs"] == figure["ours"]
            or abs(figure["theirs"] - figure["ours"]) <= figure["tolerance"]
            for figure in figures
        )
        differ = len(figures) - equal
        unknown = sum(
            not figure["reasons"] and figure["theirs"] != figure["ours"]
            and abs(figure["theirs"] - figure["ours"]) > figure["tolerance"]
            for figure in figures
        )  # fmt: skip
        assert f"| {row} | {len(figures)} | {equal} | {differ} | {unknown} |" in page, (
            row, len(figures), equal, differ, unknown,
        )  # fmt: skip
