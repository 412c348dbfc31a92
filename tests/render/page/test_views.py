"""What a reader does with the page: zoom, sort, search, switch, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archscope.cli import run
from archscope.units import binary_bytes

LENET_MACS = {
    "conv1": 6 * 25 * 28 * 28,
    "conv2": 16 * 6 * 25 * 10 * 10,
    "fc1": 400 * 120,
    "fc2": 120 * 84,
    "fc3": 84 * 10,
}
LENET_TOTAL = sum(LENET_MACS.values())


def shares(page: Any) -> dict[str, float]:
    """Width of every block over that of its field, by its name."""
    found: dict[str, float] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.block')].map((block) =>
             [block.getAttribute('aria-label').split(', ')[0],
              parseFloat(block.style.width) / 100]))"""
    )
    return found


def names(page: Any) -> list[str]:
    found: list[str] = page.locator(".layers tbody button.name").all_text_contents()
    return found


def test_widths_are_shares_of_the_macs(lenet: Path, opened: Any) -> None:
    widths = shares(opened(lenet))
    assert widths["LeNet"] == 1
    for name, macs in LENET_MACS.items():
        assert widths[name] == pytest.approx(macs / LENET_TOTAL, rel=1e-4)  # percent has six digits
    assert "act1" not in widths  # without MACs it has no width


def test_blocks_have_the_colour_of_their_family(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    colours = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('.block')].map((block) =>
             [block.getAttribute('aria-label').split(', ')[0],
              getComputedStyle(block).backgroundColor]))"""
    )
    assert colours["conv1"] == colours["conv2"] != colours["fc1"] == colours["fc2"]
    assert colours["LeNet"] not in (colours["conv1"], colours["fc1"])


def test_another_quantity_gives_other_widths(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    page.select_option("#amount", "params")
    assert shares(page)["fc1"] == pytest.approx(48120 / 61706, rel=1e-4)
    assert page.locator("[name=pass]").first.is_disabled()  # parameters have no passes


def test_the_backward_pass_can_be_chosen(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    page.get_by_text("backward", exact=True).first.click()
    # The first layer has no input gradient, so it costs once what it costs forward; others twice.
    backward = {name: macs * (1 if name == "conv1" else 2) for name, macs in LENET_MACS.items()}
    expected = backward["conv2"] / sum(backward.values())
    assert shares(page)["conv2"] == pytest.approx(expected, rel=1e-4)
    page.get_by_text("both", exact=True).click()
    whole = LENET_TOTAL + sum(backward.values())
    assert shares(page)["conv1"] == pytest.approx(2 * LENET_MACS["conv1"] / whole, rel=1e-4)


def test_a_click_zooms_and_escape_leads_back(pair: Path, opened: Any) -> None:
    page = opened(pair)
    block = page.locator(".field").first.locator("[aria-label^='layer3, ']")
    before = block.bounding_box()["width"]
    block.click()
    page.wait_for_function(
        f"() => document.querySelector(\".block[aria-label^='layer3, ']\")"
        f".getBoundingClientRect().width > {2 * before}"
    )
    assert "layer4" not in shares(page)
    assert page.locator(".card h2").text_content() == "layer3"
    page.locator(".field").first.locator("[aria-label^='layer3, ']").focus()
    page.keyboard.press("Escape")
    assert "layer4" in shares(page)


def test_the_map_is_walked_by_keys(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    page.locator(".block").first.focus()
    announced = []
    for key in ("ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        announced.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert [text.split(", ")[0] for text in announced] == ["conv1", "conv2", "conv1", "LeNet"]
    assert announced[1] == "conv2, Conv2d, 1×16×10×10, 240 k, 57.6 %"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator(".card h2").text_content() == "conv1"


def test_columns_sort_and_unsort(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    order = names(page)
    heading = page.locator(".layers thead button", has_text="Parameters")
    heading.click()
    # 400·120 + 120, 120·84 + 84, 6·16·25 + 16, 84·10 + 10, 6·25 + 6
    assert names(page)[:5] == ["fc1", "fc2", "conv2", "fc3", "conv1"]
    assert page.locator("th[aria-sort='descending']").text_content() == "Parameters"
    heading.click()
    assert names(page)[-1] == "fc1"
    heading.click()
    assert names(page) == order


def test_search_keeps_what_matches(pair: Path, opened: Any) -> None:
    page = opened(pair)
    page.keyboard.press("/")
    page.keyboard.type("layer4 conv2")
    assert names(page) == ["ResNet", "layer4", "0", "conv2", "1", "conv2", "2", "conv2"]
    bright = page.locator(".field").first.locator(".block:not(.dim)")
    labels = [text.split(",")[0] for text in bright.evaluate_all(
        "(blocks) => blocks.map((block) => block.getAttribute('aria-label'))")]  # fmt: skip
    assert {"ResNet", "layer3", "conv1"} & set(labels) == set()
    assert {"layer4", "layer4.2", "layer4.2.conv2"} <= set(labels)


def test_rows_fold_and_open(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    assert len(names(page)) == 13
    page.get_by_label("Fold LeNet").click()
    assert names(page) == ["LeNet"]
    page.get_by_label("Open LeNet").click()
    assert len(names(page)) == 13


def test_a_layers_card_has_its_arithmetic(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    page.locator("button.name", has_text="fc1").click()
    card = page.locator(".card").text_content()
    assert "400·120 = 48,000" in card and "48,120" in card


def test_two_networks_have_one_scale(pair: Path, opened: Any) -> None:
    page = opened(pair)
    widths = page.evaluate(
        """() => [...document.querySelectorAll('.field')].map((field) =>
             ['conv1', 'layer1', 'layer4'].map((name) => {
               const box = field.querySelector(`[aria-label^="${name}, "]`).getBoundingClientRect();
               return [box.left, box.width];
             }))"""
    )
    (one, two) = widths
    # The stem is the same layer in both; stage 1: He et al. (2016) and Xie et al. (2017), 3 blocks
    # of 1×1, 3×3, 1×1 at 56×56, the first with a projection from 64 to 256 channels.
    places = 56 * 56

    def stage_macs(width: int, groups: int) -> int:
        first = 64 * width + 9 * width * width // groups + width * 256 + 64 * 256
        other = 256 * width + 9 * width * width // groups + width * 256
        return places * (first + 2 * other)

    assert one[0] == pytest.approx(two[0])
    expected = stage_macs(128, 32) / stage_macs(64, 1)
    assert two[1][1] / one[1][1] == pytest.approx(expected, rel=0.01)  # boxes are whole 1/64 pixels
    assert [place for place, _ in one] == pytest.approx([place for place, _ in two])


def test_differences_are_coloured(pair: Path, opened: Any) -> None:
    page = opened(pair)
    second = page.locator(".field").nth(1)
    kinds = {
        name: second.locator(f"[aria-label^='{name}, ']").get_attribute("class").split()[1]
        for name in ("layer1", "layer4", "layer1.0.conv1", "layer1.0.downsample")
    }
    assert kinds == {
        "layer1": "diff-less", "layer4": "diff-more", "layer1.0.conv1": "diff-more",
        "layer1.0.downsample": "diff-same",
    }  # fmt: skip


def test_the_theme_switches(lenet: Path, opened: Any) -> None:
    page = opened(lenet, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_text("Colours: auto")
    button.click()
    assert page.evaluate(ground) == light
    page.get_by_text("Colours: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.emulate_media(media="print")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"  # paper is white whatever the screen is
    assert opened(lenet, color_scheme="dark").evaluate(ground) == dark


@pytest.mark.parametrize("width", [390, 1024, 1680])
def test_nothing_is_wider_than_the_window(pair: Path, opened: Any, width: int) -> None:
    assert opened(pair, width).evaluate("document.documentElement.scrollWidth") <= width


def test_memory_is_told_along_the_step(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    plot = page.locator(".memory-view svg")
    plot.focus()
    page.keyboard.press("Home")
    told = page.locator(".memory-view [aria-live]").text_content()
    assert "in the forward pass at conv1" in told
    assert f"Parameters: {binary_bytes(4 * 61_706)}" in told
    page.keyboard.press("End")
    last = page.locator(".memory-view [aria-live]").text_content()
    assert "in the update" in last and f"Gradients: {binary_bytes(4 * 61_706)}" in last
    box = plot.bounding_box()
    page.mouse.click(box["x"] + 66, box["y"] + box["height"] / 2)
    assert page.locator(".card h2").text_content() == "conv1"


def test_measured_time_is_a_width(measured: Path, opened: Any) -> None:
    page = opened(measured)
    assert "slowest: conv1 (75.0 %" in page.locator(".answer").text_content()  # as the terminal
    assert page.locator("#amount").input_value() == "measured_seconds"
    widths = shares(page)
    assert widths["conv1"] == pytest.approx(0.75) and widths["fc1"] == pytest.approx(0.25)


def test_the_roofline_has_a_dot_a_pass(measured: Path, opened: Any) -> None:
    page = opened(measured)
    dots = page.locator(".roofline-view circle")
    told = dots.evaluate_all("(dots) => dots.map((dot) => dot.textContent)")
    assert len(told) == 4
    # fc1 multiplies 400·120 times and adds 120 biases, in 1 ms.
    assert any("fc1, forward, Linear, 1.00 ms, 96.1 Mop/s" in text for text in told)
    page.locator(".roofline-view circle.forward.f-linear").click()
    assert page.locator(".card h2").text_content() == "fc1"


def test_no_roofline_where_nothing_was_measured(lenet: Path, opened: Any) -> None:
    assert opened(lenet).locator(".roofline-view").count() == 0


def test_predicted_time_is_a_width(lenet: Path, opened: Any) -> None:
    page = opened(lenet)
    page.select_option("#amount", "predicted_seconds")
    assert shares(page)["LeNet"] == 1
    assert "not measured" in page.locator("footer").text_content()


def test_the_graph_shows_what_repeats_and_selects(pair: Path, opened: Any) -> None:
    page = opened(pair)
    first = page.locator(".graph-view svg").first
    # ResNet-50 has 3, 4, 6 and 3 blocks, the first of each with a projection.
    assert first.locator(".times").all_text_contents() == ["×2", "×3", "×5", "×2"]
    assert first.locator(".edge.skip").count() == 4  # a residual beside each of the repeats
    first.get_by_role("button", name="7×7 conv 64").focus()
    page.keyboard.press("Enter")
    assert page.locator(".card h2").text_content() == "conv1"


def test_a_prediction_opens_on_its_time_and_draws_a_network_once(
    tmp_path: Path, opened: Any
) -> None:
    """Three devices run one network: its memory and its graph are the same on each."""
    path = tmp_path / "page.html"
    assert run(["predict", "lenet", "--on", "v100,a100,h100", "-o", str(path)]) == 0
    page = opened(path)
    assert page.locator("#amount").input_value() == "predicted_seconds"
    assert [page.locator(f".{view} .panel").count() for view in ("memory-view", "graph-view")] == [
        1,
        1,
    ]
    assert page.locator(".costs.below tbody").first.locator("tr").count() == 1 + 3
    card = page.locator(".card").evaluate("card => [card.scrollWidth, card.clientWidth]")
    assert card[0] <= card[1]
