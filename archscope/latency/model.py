"""Kernels and a device → seconds.

A kernel takes what its launch takes, and the longer of its arithmetic and its traffic, more where
the two are close. Arithmetic counts whole tiles of the result, with the start and the end of each
tile; traffic is faster where the tensors fit in the last cache.
The step takes the sum over its kernels, or the time in which the host starts them, if that is more.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from archscope.latency.coefficients import Shape
from archscope.latency.devices import Device, has_tensor_cores
from archscope.latency.kernel import HALVES, Kernel
from archscope.latency.rates import Rates, Unit

SMALL_TILE = 32
TILE = 64
"""Rows and columns of the result that a product computes at once: by 32 if no more, else by 64."""

WAVE_TILE = 128
MOST_WASTE = 1.25
"""What a last wave of tiles that leaves units idle costs at most."""

FUNCTION_RATE = 0.1
"""Rate of operations beside a product, such as exponentials, over the peak in float32."""

CHOICE = 6
"""Exponent by which the faster of two algorithms is chosen: ∞ would always find it."""

TAPS = 9
PRODUCTS_A_SQUARE = 36
WINOGRAD_DEPTH = 20
FLOAT_BYTES = 4


class Seconds(NamedTuple):
    """Time of one kernel.

    Args:
        compute, memory: of arithmetic and traffic, each alone.
        busy: of both together.
        launch: until the kernel begins, and steps that wait for each other.
    """

    compute: float
    memory: float
    busy: float
    launch: float

    @property
    def total(self) -> float:
        return self.busy + self.launch


def kernel_seconds(kernel: Kernel, rates: Rates) -> Seconds:
    """The time of one kernel."""
    shape, device = rates.given.shape, rates.device
    kernel = known(kernel, rates)
    peak, unit = arithmetic_rate(kernel, device, rates.setting.dtype)
    efficiency = rates.efficiency(kernel.kind, kernel.order, unit)
    compute = _compute_seconds(kernel, rates, peak * efficiency.compute, unit)
    memory = kernel.bytes_moved / (device.bandwidth_bytes_per_second * efficiency.memory)
    memory *= 1 - cached_share(kernel, shape, device) * (1 - 1 / shape.cache_gain)
    launch = kernel.launches * rates.launch_seconds + kernel.serial * shape.serial_seconds
    return Seconds(compute, memory, both(compute, memory, shape.overlap), launch)


def known(kernel: Kernel, rates: Rates) -> Kernel:
    """The kernel as of the nearest kind, if no table holds its own."""
    nearest = rates.nearest(kernel.kind)
    return kernel if nearest == kernel.kind else kernel._replace(kind=nearest)


def both(one: float, other: float, overlap: float) -> float:
    """Time of two things that overlap: the longer one, more where they are close."""
    longer, shorter = max(one, other), min(one, other)
    if not shorter:
        return longer
    ratio: float = (1 + (shorter / longer) ** overlap) ** (1 / overlap)
    return longer * ratio


def arithmetic_rate(kernel: Kernel, device: Device, dtype: str) -> tuple[float, Unit]:
    """Operations a second at most, and what does them.

    AMD's matrix cores take float32 as it is; the tensor cores of others round it to TF32 first.
    """
    rates = device.peak_flops_per_second
    if kernel.dtype in HALVES:
        if has_tensor_cores(device):
            return rates.get(kernel.dtype, rates["float16"]), "tensor cores"
        return rates["float32"], "plain cores in half precision"
    if kernel.times and "tf32" in rates:
        if device.vendor == "amd":
            return rates["tf32"], "plain cores"
        if dtype == "tf32":
            return rates["tf32"], "tensor cores"
    return rates["float32"], "plain cores"


def tiled_flops(kernel: Kernel, shape: Shape, device: Device) -> float:
    """Operations of a product in whole tiles, their start and end included."""
    rows, columns = _whole(kernel.rows), _whole(kernel.columns)
    depth = kernel.depth + shape.depth.get(kernel.kind, 0)
    flops = 2 * kernel.times * rows * columns * depth
    return flops * idle_waste(kernel, shape, device)


def idle_waste(kernel: Kernel, shape: Shape, device: Device) -> float:
    """Factor of the time by which units without a tile make a product longer.

    Of several waves the last one leaves some idle. Of less than one, smaller tiles or parts of the
    sum keep them busy as far as the library has such kernels for the kind.
    """
    tiles = kernel.times * ceil(kernel.rows / WAVE_TILE) * ceil(kernel.columns / WAVE_TILE)
    waves = tiles / device.compute_units
    if not waves:  # an empty tensor
        return 1
    if waves < 1:
        waste: float = waves ** -shape.idle.get(kernel.kind, 0)
        return waste
    return min(MOST_WASTE, ceil(waves) / waves)


def _whole(side: float) -> float:
    return SMALL_TILE if side <= SMALL_TILE else ceil(side / TILE) * TILE


def _compute_seconds(kernel: Kernel, rates: Rates, rate: float, unit: Unit) -> float:
    """Arithmetic alone, its products at a rate that their kind reaches."""
    shape, device = rates.given.shape, rates.device
    plain = device.peak_flops_per_second["float32"]
    if not kernel.times:
        reached = rates.efficiency(kernel.kind, kernel.order, unit).compute
        return kernel.operations / (plain * reached)
    product = tiled_flops(kernel, shape, device) / rate
    if unit == "tensor cores" and not kernel.aligned:
        product *= rates.misaligned(kernel.kind, kernel.order)
    if kernel.squares and unit != "tensor cores":
        product = sooner(product, _winograd_seconds(kernel, shape, device, rate))
    return product + kernel.operations / (plain * FUNCTION_RATE)


def sooner(one: float, other: float) -> float:
    """Time of the faster of two algorithms; less than either where the choice is close."""
    ratio: float = (1 + (one / other) ** CHOICE) ** (1 / CHOICE)
    return one / ratio


def _winograd_seconds(kernel: Kernel, shape: Shape, device: Device, rate: float) -> float:
    """Winograd's algorithm F(4×4, 3×3): 36 products in place of 144 taps, and the transforms.

    Lavin and Gray 2016, section 4.3; each square of 4 by 4 results comes of 6 by 6 inputs.
    """
    products = PRODUCTS_A_SQUARE * kernel.times
    rows, columns, depth = winograd_sides(kernel)
    flops = 2 * products * _whole(rows) * _whole(columns) * (depth + WINOGRAD_DEPTH)
    values = rows * columns + (rows + columns) * depth
    moved = 2 * FLOAT_BYTES * products * values
    return flops * shape.winograd[kernel.kind] / rate + (
        moved * shape.winograd_traffic[kernel.kind] / device.bandwidth_bytes_per_second
    )


def winograd_sides(kernel: Kernel) -> tuple[float, float, float]:
    """Rows, columns and depth of each of Winograd's products.

    Squares take the place of positions, channels that of channels times kernel elements. The
    gradient of the weight sums over the positions, and finds 3 by 3 results of 4 by 4 gradients.
    """
    if kernel.kind.endswith("weight_gradient"):
        return kernel.rows, kernel.columns / TAPS, kernel.squares
    return kernel.squares, kernel.columns, kernel.depth / TAPS


def cached_share(kernel: Kernel, shape: Shape, device: Device) -> float:
    """Part of the traffic that finds its tensors in the last cache: all, if they are small."""
    room = shape.cache_share * device.l2_bytes
    share: float = 1 / (1 + (kernel.bytes_moved / room) ** 4)
    return share


def step_seconds(kernels: Iterable[tuple[Kernel, Seconds]], rates: Rates) -> tuple[float, float]:
    """Seconds of a step, and of its kernels alone."""
    device = launches = 0.0
    for kernel, seconds in kernels:
        device += seconds.total
        launches += kernel.launches
    host = launches * rates.host_seconds
    return both(device, host, rates.given.shape.host_overlap) + rates.step_seconds, device
