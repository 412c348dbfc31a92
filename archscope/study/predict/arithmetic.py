"""The arithmetic of a predicted time, kernel by kernel, with the numbers in place."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.predict import TimedKernel
from archscope.latency.model import (
    Seconds,
    arithmetic_rate,
    cached_share,
    idle_waste,
    known,
    tiled_flops,
)
from archscope.latency.rates import Rates
from archscope.table import Derivation, Step
from archscope.units import percent, seconds, si
from archscope.wording import call_title


def derivations(timed: Sequence[TimedKernel], rates: Rates) -> tuple[Derivation, ...]:
    """One derivation a module call and pass.

    Args:
        timed: the kernels of the layers asked for, in order.
        rates: with which they were timed.
    """
    groups: dict[tuple[str, str], list[TimedKernel]] = {}
    for item in timed:
        title = call_title(item.layer.name, item.layer.kind, item.layer.call)
        groups.setdefault((title, item.kernel.phase), []).append(item)
    return tuple(
        Derivation(f"{title} · {phase}", tuple(_layer_steps(items, rates)))
        for (title, phase), items in groups.items()
    )


def _layer_steps(items: Sequence[TimedKernel], rates: Rates) -> list[Step]:
    steps = [step for item in items for step in _kernel_steps(item, rates)]
    if len(items) > 1:
        parts = " + ".join(seconds(item.seconds.total) for item in items)
        total = sum(item.seconds.total for item in items)
        steps.append(Step("Together", f"{parts} = {seconds(total)}"))
    return steps


def _kernel_steps(item: TimedKernel, rates: Rates) -> list[Step]:
    kernel, found = item.kernel, item.seconds
    nearest = rates.nearest(kernel.kind)
    order = f", {kernel.order}" if kernel.order else ""
    doubt = "" if nearest == kernel.kind else f"; no table holds it, so it is taken as {nearest}"
    steps = [
        Step("Kernel", f"{kernel.operator}: {kernel.kind}{order}, {kernel.dtype}{doubt}", "prose")
    ]
    steps += _arithmetic(item, rates)
    steps += _traffic(item, rates)
    if found.compute and found.memory:
        steps.append(_overlap(found, rates.given.shape.overlap))
    launch = f"{kernel.launches:.3g} · {seconds(rates.launch_seconds)}"
    if kernel.serial:
        waiting = f"{kernel.serial:,.0f} · {seconds(rates.given.shape.serial_seconds)}"
        launch = f"{launch} + {waiting}"
    steps.append(Step("Launch", f"{launch} = {seconds(found.launch)}"))
    total = f"{seconds(found.busy)} + {seconds(found.launch)} = {seconds(found.total)}"
    return [*steps, Step("Kernel time", total)]


def _arithmetic(item: TimedKernel, rates: Rates) -> list[Step]:
    kernel, shape, device = known(item.kernel, rates), rates.given.shape, rates.device
    if not kernel.times:
        return []
    sides = f"2·{kernel.times:g}·{kernel.rows:,g}·{kernel.columns:,g}·{kernel.depth:,g}"
    work = 2 * kernel.times * kernel.rows * kernel.columns * kernel.depth
    steps = [Step("Product", f"2·times·rows·columns·depth = {sides} = {si(work)}FLOP")]
    tiled = tiled_flops(kernel, shape, device)
    start_and_end = shape.depth.get(kernel.kind, 0)
    steps.append(
        Step(
            "In whole tiles",
            f"depth + {start_and_end:,.4g} for a tile's start and end, idle units × "
            f"{idle_waste(kernel, shape, device):.3g} = {si(tiled)}FLOP",
        )
    )
    peak, unit = arithmetic_rate(kernel, device, rates.setting.dtype)
    efficiency = rates.efficiency(kernel.kind, kernel.order, unit)
    longer = rates.misaligned(kernel.kind, kernel.order)
    aligned = kernel.aligned or unit != "tensor cores"
    slow = "" if aligned else f" · {longer:.3g} (not multiples of 8)"
    rate = f"({si(peak)}FLOP/s on {unit} · {percent(efficiency.compute)})"
    steps.append(
        Step(
            "Arithmetic",
            f"{si(tiled)}FLOP / {rate}{slow} = {seconds(item.seconds.compute)}",
        )
    )
    return steps


def _traffic(item: TimedKernel, rates: Rates) -> list[Step]:
    kernel, shape, device = known(item.kernel, rates), rates.given.shape, rates.device
    _, unit = arithmetic_rate(kernel, device, rates.setting.dtype)
    efficiency = rates.efficiency(kernel.kind, kernel.order, unit)
    moved = f"({si(kernel.read)}B + {si(kernel.written)}B)"
    rate = f"({si(device.bandwidth_bytes_per_second)}B/s · {percent(efficiency.memory)})"
    share = cached_share(kernel, shape, device)
    cached = (
        f" · (1 − {percent(share)} from cache · (1 − 1/{shape.cache_gain:.3g}))"
        if share > 0.005
        else ""
    )
    return [Step("Traffic", f"{moved} / {rate}{cached} = {seconds(item.seconds.memory)}")]


def _overlap(found: Seconds, overlap: float) -> Step:
    power = {2: "²", 3: "³", 4: "⁴"}.get(int(overlap), f"^{overlap:g}")
    both = f"({seconds(found.compute)}{power} + {seconds(found.memory)}{power})^(1/{overlap:g})"
    return Step("Both, overlapping", f"{both} = {seconds(found.busy)}")
