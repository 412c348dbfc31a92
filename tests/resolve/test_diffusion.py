"""`diffusers:` names: networks of diffusers by class and from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import archscope
from archscope import resolve
from archscope.errors import ArchscopeError

diffusers = pytest.importorskip("diffusers")

SMALL = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 48,
    "sample_size": 16,
}


def test_a_class_is_built_with_its_keywords():
    summary = archscope.summary("diffusers:UNet2DConditionModel", **SMALL)
    text = "sample=1×4×16×16, timestep=1:int64, encoder_hidden_states=1×77×48"
    assert str(summary.analysis.input) == text
    module = diffusers.UNet2DConditionModel(**SMALL)
    assert summary.total.params == sum(p.numel() for p in module.parameters())
    assert summary.coverage.complete


def test_a_folder_is_built_as_its_configuration_says(tmp_path: Path):
    module = diffusers.UNet2DConditionModel(**SMALL)
    module.save_config(tmp_path / "unet")
    found = resolve.network(f"diffusers:{tmp_path}/unet")
    assert sum(p.numel() for p in found.module.parameters()) == sum(
        p.numel() for p in module.parameters()
    )
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ArchscopeError, match="name one of its networks: unet"):
        resolve.network(f"diffusers:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("diffusers:UNet2DConditionMode", {}, "did you mean.* UNet2DConditionModel"),
        ("diffusers:UNet2DConditionModel", {"sides": 3}, "takes no such keyword"),
    ],
)
def test_mistakes_say_what_there_is(name, settings, message):
    with pytest.raises(ArchscopeError, match=message):
        resolve.network(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("AutoencoderKL", {}, "sample=1×3×32×32"),
        (
            "DiTTransformer2DModel",
            {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 8},
            "hidden_states=1×4×32×32, timestep=1:int64, class_labels=1:int64",
        ),
        (
            "SD3Transformer2DModel",
            {"num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 8,
             "caption_projection_dim": 16, "joint_attention_dim": 32, "pooled_projection_dim": 24},
            "hidden_states=1×16×128×128, encoder_hidden_states=1×77×32, "
            "pooled_projections=1×24, timestep=1:int64",
        ),
        (
            "FluxTransformer2DModel",
            {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2,
             "attention_head_dim": 128, "joint_attention_dim": 32, "pooled_projection_dim": 24},
            "hidden_states=1×1024×64, encoder_hidden_states=1×512×32, pooled_projections=1×24, "
            "timestep=1:int64, img_ids=1024×3, txt_ids=512×3",
        ),
    ],
)  # fmt: skip
def test_default_inputs_are_what_forward_needs(name, settings, expected):
    assert str(archscope.summary(f"diffusers:{name}", **settings).analysis.input) == expected


def test_the_listing_is_what_diffusers_offers_and_nothing_else():
    """Every name of the table of contents is a class that can be built, found as diffusers does."""
    from torch import nn

    from archscope.study.models import models_report

    (table,) = models_report("diffusers:*unet*").tables
    names = [str(name).removeprefix("diffusers:") for name in table.column("name")]
    assert {"UNet2DConditionModel", "UNetMotionModel", "Kandinsky3UNet"} <= set(names)
    assert all(issubclass(getattr(diffusers, name), nn.Module) for name in names)
    assert not [name for name in resolve.diffusion.classes() if name.endswith(("Config", "Mixin"))]
