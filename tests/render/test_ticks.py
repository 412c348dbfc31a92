"""Ticks stand at round values and say their unit."""

import pytest

from archscope.render.ticks import TICKS, linear_ticks, log_ticks, tick_texts


@pytest.mark.parametrize(
    ("low", "high", "unit", "texts"),
    [
        (0, 4.2e9, "macs", ["0", "1 G", "2 G", "3 G", "4 G"]),
        (0, 25.6e6, "count", ["0", "10 M", "20 M"]),
        (0, 4.5 * 2**30, "bytes", ["0", "1 GiB", "2 GiB", "3 GiB", "4 GiB"]),
        (0, 300 * 2**20, "bytes", ["0", "100 MiB", "200 MiB", "300 MiB"]),
        (0, 2.1 * 2**30, "bytes", ["0", "512 MiB", "1 GiB", "1.5 GiB", "2 GiB"]),
        (0, 0.0031, "seconds", ["0", "1 ms", "2 ms", "3 ms"]),
        (0.56, 0.84, "percent", ["60 %", "70 %", "80 %"]),
        (0.55, 1.02, "ratio", ["0.6×", "0.7×", "0.8×", "0.9×", "1×"]),
        (1, 5, "exact", ["1", "2", "3", "4", "5"]),
    ],
)
def test_linear_ticks_read_well(low: float, high: float, unit: str, texts: list[str]) -> None:
    assert tick_texts(linear_ticks(low, high, unit), unit) == texts  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["macs", "bytes", "seconds", "percent", "decimal", "exact"])
@pytest.mark.parametrize("span", [1e-9, 3e-4, 0.7, 5, 1e3, 7.7e9, 3e15])
@pytest.mark.parametrize("low", [0, 1, -2.5])
def test_linear_ticks_are_few_and_inside(unit: str, span: float, low: float) -> None:
    start = low * span
    values = linear_ticks(start, start + span, unit)  # type: ignore[arg-type]
    assert len(values) <= TICKS
    assert all(start - 1e-6 * span <= value <= start + span * (1 + 1e-6) for value in values)


def test_log_ticks_step_by_powers() -> None:
    assert tick_texts(log_ticks(1e6, 1e9, "macs"), "macs") == ["1 M", "10 M", "100 M", "1 G"]
    texts = tick_texts(log_ticks(2e8, 2.5e10, "macs"), "macs")
    assert texts == ["200 M", "500 M", "1 G", "2 G", "5 G", "10 G", "20 G"]
    texts = tick_texts(log_ticks(2**20, 2**30, "bytes"), "bytes")
    assert texts[0] == "1 MiB" and len(texts) <= TICKS + 1


def test_close_ticks_keep_the_digits_that_tell_them_apart() -> None:
    assert tick_texts([1000, 1001, 1002], "count") == ["1 k", "1.001 k", "1.002 k"]


def test_rates_name_flop_per_second() -> None:
    assert tick_texts([5e13, 2e11], "flops_per_second") == ["50 TFLOP/s", "200 GFLOP/s"]


def test_an_axis_without_extent_has_one_tick() -> None:
    assert linear_ticks(3, 3, "decimal") == [3]
    assert log_ticks(0, 0, "decimal") == [0]
