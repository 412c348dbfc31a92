"""Small trace files written by hand, in the dialects of several releases and vendors.

One training step of `body` (a convolution), a sum with its own input, and `head` (a linear layer),
with two kernels in the forward pass and what a backward pass makes of them.
Times are in microseconds; the host runs ahead, the kernels begin at 1000.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
NODE = "autograd::engine::evaluate_function: "

MAIN, ENGINE = 10, 20


@dataclass
class File:
    """Events as `torch.profiler` of 2024 writes them for an NVIDIA GPU."""

    events: list[Json] = field(default_factory=list)
    members: Json = field(default_factory=lambda: {"schemaVersion": 1})
    _id: int = 100

    def host(
        self, name: str, start: float, length: float, tid: int = MAIN, cat: str = "cpu_op",
        **args: Any,
    ) -> int:  # fmt: skip
        """A host event; its external id."""
        self._id += 1
        self.events.append({
            "ph": "X", "cat": cat, "name": name, "pid": 1, "tid": tid, "ts": start, "dur": length,
            "args": {"External id": self._id, **args},
        })  # fmt: skip
        return self._id

    def op(
        self, name: str, start: float, length: float, seq: int | None = None, fwd: int = 0,
        dims: Any = None, tid: int = MAIN,
    ) -> int:  # fmt: skip
        """An operator, with its sequence number and shapes."""
        args: Json = {}
        if seq is not None:
            args |= {"Sequence number": seq, "Fwd thread id": fwd}
        if dims is not None:
            args["Input Dims"] = dims
        return self.host(name, start, length, tid, **args)

    def kernel(
        self, start: float, length: float, launched: float, name: str = "kernel", tid: int = MAIN,
        external: int | None = None, stream: int = 7, cat: str = "kernel",
        launch: str | None = "cudaLaunchKernel", **args: Any,
    ) -> None:  # fmt: skip
        """A kernel and, unless `launch` is None, its launch on the host."""
        self._id += 1
        ids: Json = {"correlation": self._id}
        if external is not None:
            ids["External id"] = external
        if launch is not None:
            self.events.append({
                "ph": "X", "cat": "cuda_runtime", "name": launch, "pid": 1, "tid": tid,
                "ts": launched, "dur": 1, "args": dict(ids),
            })  # fmt: skip
        self.events.append({
            "ph": "X", "cat": cat, "name": name, "pid": 0, "tid": stream, "ts": start,
            "dur": length, "args": {"device": 0, "stream": stream, **ids, **args},
        })  # fmt: skip

    def write(self, path: Path) -> str:
        path.write_text(json.dumps({**self.members, "traceEvents": self.events}))
        return str(path)

    def change(self, cat: str, change: Callable[[Json], None]) -> File:
        """Alter every event of a category."""
        for event in self.events:
            if event.get("cat") == cat:
                change(event)
        return self


X, W, Y, H = [2, 4, 8, 8], [4, 4, 3, 3], [2, 4, 8, 8], [10, 256]
"""Shapes: of the input, the convolution's weight, its output, the linear layer's weight."""


def training_step(modules: bool = True, shapes: bool = True, at: float = 0, seq: int = 0,
                  file: File | None = None, step: int | None = 1) -> File:  # fmt: skip
    """One step: conv → add (a join with the conv's own input) → linear → loss, and back.

    The kernels take, in µs: body 100 forward and 210 backward, the sum 10 forward, head 50 forward
    and 90 backward, the loss 5 and 6, the sum of gradients 8 (at `body`'s input: `stem`), the
    optimiser 20.
    """
    file = file or File()

    def module(name: str, start: float, length: float) -> None:
        if modules:
            file.host(f"nn.Module: {name}", at + start, length, cat="python_function")

    def dims(*given: Any) -> Any:
        return list(given) if shapes else None

    if step is not None:
        file.host(f"ProfilerStep#{step}", at, 500, cat="user_annotation")
    k = at + 1000
    module("Net_0", 10, 100)
    module("Conv2d_0", 11, 19)
    op = file.op("aten::conv2d", at + 12, 8, seq, dims=dims(X, W))
    file.kernel(k, 70, at + 13, external=op)
    module("Conv2d_1", 31, 19)
    op = file.op("aten::conv2d", at + 32, 8, seq + 1, dims=dims(X, W))
    file.kernel(k + 70, 100, at + 33, external=op)
    op = file.op("aten::add", at + 52, 8, seq + 2, dims=dims(Y, Y, []))
    file.kernel(k + 170, 10, at + 53, external=op)
    module("Linear_0", 71, 29)
    op = file.op("aten::linear", at + 72, 20, seq + 3, dims=dims([2, 256], H, [10]))
    file.op("aten::addmm", at + 74, 16, seq + 3, dims=dims([10], [2, 256], [256, 10]))
    file.kernel(k + 180, 50, at + 75, external=op)
    op = file.op("aten::cross_entropy_loss", at + 112, 8, seq + 4, dims=dims([2, 10], [2]))
    file.op("aten::nll_loss", at + 114, 5, seq + 4)
    file.kernel(k + 230, 5, at + 113, external=op)
    back = _Backward(file, at, shapes)
    back.node("NllLossBackward0", 140, seq + 4, [], [(k + 235, 6)])
    back.node("AddmmBackward0", 160, seq + 3, [2, 10], [(k + 241, 40), (k + 281, 50)])
    back.accumulate(175, [10, 256], (k + 331, 4))
    back.node("AddBackward0", 190, seq + 2, Y, [])
    back.node("ConvolutionBackward0", 200, seq + 1, Y, [(k + 335, 120), (k + 455, 90)],
              sum=(k + 545, 8, X))  # fmt: skip
    back.accumulate(230, W, (k + 553, 3))
    back.node("ConvolutionBackward0", 250, seq, X, [(k + 556, 60)])
    file.host("Optimizer.step#SGD.step", at + 300, 50, cat="user_annotation")
    op = file.op("aten::_foreach_add_", at + 310, 20)
    file.kernel(k + 616, 20, at + 311, external=op)
    return file


@dataclass
class _Backward:
    """Nodes on the engine's thread."""

    file: File
    at: float
    shapes: bool

    def node(
        self, name: str, start: float, seq: int, grad: list[int],
        kernels: Iterable[tuple[float, float]], sum: tuple[float, float, list[int]] | None = None,
    ) -> None:  # fmt: skip
        start += self.at
        file = self.file
        file.op(NODE + name, start, 18, seq, 1, tid=ENGINE)
        file.op(name, start + 1, 9, seq, 1, dims=[grad] if self.shapes else None, tid=ENGINE)
        for index, (begin, length) in enumerate(kernels):
            op = file.op("aten::backward", start + 2 + 3 * index, 2, tid=ENGINE)
            file.kernel(begin, length, start + 3 + 3 * index, tid=ENGINE, external=op)
        if sum is not None:
            begin, length, shape = sum
            dims = [shape, shape, []] if self.shapes else None
            op = file.op("aten::add", start + 11, 5, dims=dims, tid=ENGINE)
            file.kernel(begin, length, start + 12, tid=ENGINE, external=op)

    def accumulate(self, start: float, shape: list[int], kernel: tuple[float, float]) -> None:
        start += self.at
        file = self.file
        file.op(NODE + "torch::autograd::AccumulateGrad", start, 12, tid=ENGINE)
        dims = [shape] if self.shapes else None
        file.op("torch::autograd::AccumulateGrad", start + 1, 10, dims=dims, tid=ENGINE)
        op = file.op("aten::add_", start + 2, 6, tid=ENGINE)
        file.kernel(*kernel, start + 3, tid=ENGINE, external=op)


EXPECTED = {
    ("Conv2d_0", "forward"): 70, ("Conv2d_0", "backward"): 60, ("Conv2d_0", "accumulation"): 8,
    ("Conv2d_1", "forward"): 100, ("Conv2d_1", "backward"): 210, ("Conv2d_1", "accumulation"): 3,
    ("", "forward"): 10,
    ("Linear_0", "forward"): 50, ("Linear_0", "backward"): 90, ("Linear_0", "accumulation"): 4,
    ("[loss]", "forward"): 5, ("[loss]", "backward"): 6,
    ("[optimizer]", "optimizer"): 20,
}  # fmt: skip
"""Microseconds by row and phase."""
