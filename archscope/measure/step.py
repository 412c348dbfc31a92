"""What one step is: a network on its device, random inputs, a loss, an optimiser."""

from __future__ import annotations

import contextlib
import copy
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError, NetworkError, first_line
from archscope.measure.clock import Stage
from archscope.measure.device import check_threads
from archscope.parameters import parameter
from archscope.records import InputSpec

CASTS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""What autocast can cast to."""

WEIGHTS = {"float32": torch.float32, "tf32": torch.float32, **CASTS}
"""What a network is converted to."""

DTYPES = ("default", *WEIGHTS)
"""What can be asked for."""

LEARNING_RATE = 0.0
"""An update takes as long, and the weights, and so the numbers that flow, stay what they are."""

LOSS = "[loss]"
"""Name of the loss among the modules of a training step, unless the network has such a module."""


Optimizer = Literal["sgd", "momentum", "adam", "adamw", "none"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a measured number besides network and input.

    Args:
        dtype: all but `default` convert the network (with `amp`, `float16` and `bfloat16` are what
            autocast casts to instead); `float32` forbids TF32 and `tf32` allows it everywhere;
            `default` keeps the network's dtype and PyTorch's own choice, where convolutions may
            use TF32 and matrix products may not.
        amp: autocast; to bfloat16 unless `dtype` is `float16`. No gradient scaler.
        channels_last: NHWC memory format.
        compile: mode of `torch.compile`; `None` runs eagerly.
        optimizer: what updates the weights; `none` leaves the update out.
        threads: intra-operator CPU threads; `None` keeps PyTorch's.
        cuda_graph: also replay the step as one CUDA graph.
        cold_l2: overwrite the second-level cache before every repetition.
    """

    device: str = "cpu"
    dtype: str = "default"
    amp: bool = False
    channels_last: bool = False
    compile: str | None = None
    optimizer: Optimizer = "momentum"
    threads: int | None = None
    cuda_graph: bool = False
    cold_l2: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", full_name(self.dtype))
        if self.dtype not in DTYPES:
            raise ArchscopeError(
                parameter("dtype", self.dtype), "unknown dtype", f"use one of {', '.join(DTYPES)}"
            )
        if self.optimizer not in get_args(Optimizer):
            known = f"use one of {', '.join(get_args(Optimizer))}"
            raise ArchscopeError(parameter("optimizer", self.optimizer), "unknown optimizer", known)


@contextlib.contextmanager
def configured(settings: Settings, device: torch.device) -> Iterator[None]:
    """Set threads, TF32 and cuDNN's algorithm search; afterwards all is as before, RNG included.

    Raises:
        ArchscopeError: more threads than cores.
    """
    if settings.threads is not None:
        check_threads(settings.threads)
    backends: Any = torch.backends
    matmul, cudnn = backends.cuda.matmul, backends.cudnn
    before = [(flag, flag.fp32_precision) for flag in (matmul, cudnn.conv, cudnn.rnn)]
    older = [(backend, _allows_tf32(backend)) for backend in (matmul, cudnn)]
    search, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    python = random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.backends.cudnn.benchmark = True
            if settings.threads is not None:
                torch.set_num_threads(settings.threads)
            if settings.dtype in ("float32", "tf32"):
                # torch.compile reads the older flags, and PyTorch raises where the two disagree.
                for backend, _ in older:
                    backend.allow_tf32 = settings.dtype == "tf32"
                for flag, _ in before:
                    flag.fp32_precision = "ieee" if settings.dtype == "float32" else "tf32"
            with torch.enable_grad():
                yield
        finally:
            for backend, allowed in older:
                if allowed is not None:
                    backend.allow_tf32 = allowed
            for flag, precision in before:
                flag.fp32_precision = precision
            torch.backends.cudnn.benchmark = search
            torch.set_num_threads(threads)
            random.setstate(python)


def _allows_tf32(backend: Any) -> bool | None:
    """The older flag; `None` where the newer ones contradict it, so that nobody can read it."""
    try:
        return bool(backend.allow_tf32)
    except RuntimeError:
        return None


NO_TRAINING = f"measure inference alone with {parameter('eval', True)}"


class Loss(nn.Module):
    """A scalar to differentiate, chosen by what the network returns.

    A scalar stays as it is, class scores (N × K) take the cross-entropy with random labels, and
    anything else the sum of all its floating outputs.

    Raises:
        NetworkError: there is nothing to differentiate.
    """

    rule = ""

    def forward(self, output: Any) -> Tensor:
        tensors = [leaf for leaf in leaves(output) if leaf.is_floating_point()]
        if not tensors:
            raise NetworkError("returns no floating-point tensor to differentiate", NO_TRAINING)
        value = self._scalar(tensors)
        if not value.requires_grad:
            raise NetworkError("returns nothing that depends on a trainable parameter", NO_TRAINING)
        return value

    def _scalar(self, tensors: list[Tensor]) -> Tensor:
        first = tensors[0]
        if len(tensors) == 1 and first.dim() == 0:
            self.rule = "the network's own scalar"
            return first
        if len(tensors) == 1 and first.dim() == 2 and first.shape[1] > 1:
            self.rule = "cross-entropy with random labels"
            return nn.functional.cross_entropy(first.float(), self._labels(first))
        self.rule = "sum of all floating outputs"
        return torch.stack([tensor.float().sum() for tensor in tensors]).sum()

    def _labels(self, scores: Tensor) -> Tensor:
        labels: Tensor | None = getattr(self, "labels", None)
        if labels is None or len(labels) != len(scores):
            labels = scores.new_empty(len(scores), dtype=torch.int64).random_(0, scores.shape[1])
            self.register_buffer("labels", labels)
        return labels


def leaves(output: Any) -> Iterator[Tensor]:
    """Every tensor in nested sequences, mappings and dataclasses."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from leaves(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from leaves(value)
    elif is_dataclass(output):
        for entry in fields(output):
            yield from leaves(getattr(output, entry.name))


class Step:
    """A copy of the network on its device, ready to repeat.

    `stages` are run in order and named by phase, all of them together `whole`; the caller's module
    is never touched.

    Raises:
        NetworkError: the network cannot be copied or has no real weights.
    """

    stages: dict[str, Stage]
    whole: ClassVar[str]

    def __init__(
        self, module: nn.Module, input: InputSpec, settings: Settings, device: torch.device
    ) -> None:
        eager = _placed(module, settings, device)
        self.network: Any = eager
        self.modules = dict(eager.named_modules())
        if settings.compile is not None:
            # Hooks inside would break the graph: the compiled network is one module.
            self.network = torch.compile(eager, mode=_mode(settings.compile))
            self.modules = {"": self.network}
        self.eager = eager
        self.device = device
        self.built_in = weight_dtype(module)
        self._amp = autocast_dtype(settings)
        self.args, self.kwargs = random_inputs(input, eager, settings, device, self.built_in)

    @property
    def dtype(self) -> str:
        """Name of the dtype that holds the weights, or the first input of a network without any."""
        found = weight_dtype(self.eager)
        if found is None:
            return _name(next(leaves([self.args, self.kwargs])).dtype)
        return found

    @property
    def arithmetic(self) -> torch.dtype | None:
        """The dtype in which it multiplies; `None` where that is not one floating dtype."""
        if self._amp is not None:
            return self._amp
        found = getattr(torch, self.dtype, None)
        return found if isinstance(found, torch.dtype) and found.is_floating_point else None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._amp is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._amp)

    def __call__(self) -> None:
        for stage in self.stages.values():
            stage()


class InferenceStep(Step):
    """The network in evaluation mode under `inference_mode`."""

    whole = "inference"

    def __init__(
        self, module: nn.Module, input: InputSpec, settings: Settings, device: torch.device
    ) -> None:
        super().__init__(module, input, settings, device)
        self.eager.eval()
        self.stages = {"inference": self._inference}

    def _inference(self) -> None:
        with torch.inference_mode(), self.autocast():
            self.network(*self.args, **self.kwargs)


class TrainingStep(Step):
    """Forward pass with its loss, backward pass, and update.

    Gradients are dropped (`set_to_none`) at the end of a step.
    """

    whole = "step"

    def __init__(
        self, module: nn.Module, input: InputSpec, settings: Settings, device: torch.device
    ) -> None:
        super().__init__(module, input, settings, device)
        self.eager.train()
        self.loss = Loss()
        name = LOSS
        while name in self.modules:
            name = f"[{name}]"
        self.modules[name] = self.loss
        self.optimizer = _optimizer(self.eager, settings, device)
        self._value: Tensor | None = None
        self.stages = {"forward": self._forward, "backward": self._backward}
        if self.optimizer is not None:
            self.stages["optimizer"] = self._update

    def _forward(self) -> None:
        with self.autocast():
            self._value = self.loss(self.network(*self.args, **self.kwargs))

    def _backward(self) -> None:
        assert self._value is not None
        self._value.backward()  # type: ignore[no-untyped-call]
        self._value = None
        if self.optimizer is None:
            self.eager.zero_grad(set_to_none=True)

    def _update(self) -> None:
        assert self.optimizer is not None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


Mode = Literal["training", "inference"]

STEPS: dict[Mode, type[Step]] = {"training": TrainingStep, "inference": InferenceStep}


def _placed(module: nn.Module, settings: Settings, device: torch.device) -> nn.Module:
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise NetworkError("has no weights (meta device)", "build it with storage")
    try:
        network = copy.deepcopy(module)
    except Exception as error:
        reason = f"cannot be copied ({first_line(error)})"
        raise NetworkError(reason, "pass one that copy.deepcopy accepts") from error
    network.zero_grad(set_to_none=True)
    network.to(device)
    if settings.dtype in WEIGHTS and not (settings.amp and settings.dtype in CASTS):
        network.to(WEIGHTS[settings.dtype])
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    return network


QUANTIZED = "quantized"
"""What stands for a dtype where PyTorch's quantised modules keep packed weights."""


def weight_dtype(network: nn.Module) -> str | None:
    """Name of the dtype that holds most bytes of the weights: `float32`, `int8`, `quantized`.

    Buffers are used where there are no parameters; `None` without either.
    """
    if any(".quantized" in type(module).__module__ for module in network.modules()):
        return QUANTIZED
    for tensors in (network.parameters(), network.buffers()):
        sizes: Counter[torch.dtype] = Counter()
        for tensor in tensors:
            sizes[tensor.dtype] += tensor.numel() * tensor.element_size()
        if sizes:
            return _name(sizes.most_common(1)[0][0])
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _mode(name: str) -> str | None:
    return None if name == "default" else name


def autocast_dtype(settings: Settings) -> torch.dtype | None:
    """What autocast casts to, `None` without autocast."""
    return CASTS.get(settings.dtype, torch.bfloat16) if settings.amp else None


def _optimizer(
    network: nn.Module, settings: Settings, device: torch.device
) -> torch.optim.Optimizer | None:
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.optimizer == "none" or not trainable:
        return None
    if settings.optimizer in ("sgd", "momentum"):
        momentum = 0.9 if settings.optimizer == "momentum" else 0.0
        return torch.optim.SGD(trainable, lr=LEARNING_RATE, momentum=momentum)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(trainable, lr=LEARNING_RATE)


def random_inputs(
    input: InputSpec,
    network: nn.Module,
    settings: Settings,
    device: torch.device,
    built_in: str | None,
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments: normal floats, small whole numbers, never zeros throughout.

    Inputs in float32, which a specification means where it says nothing, and in the dtype that the
    network was built in take that of its parameters, so that a network in double works; others
    stay as they were asked for.
    """
    floating = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    tensors: list[Tensor] = []
    for spec in input.tensors:
        shape = [int(side) for side in spec.shape]
        dtype: torch.dtype = getattr(torch, spec.dtype)
        if dtype.is_floating_point:
            if spec.dtype in ("float32", built_in):
                dtype = floating or dtype
            tensor = torch.randn(shape, device=device, dtype=dtype)
        else:
            tensor = torch.randint(0, 2, shape, device=device, dtype=dtype)
        if settings.channels_last and tensor.dim() == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        tensors.append(tensor)
    args, kwargs = input.arguments(tensors)
    if input.layout == "images":
        args[0] = list(args[0])
    return args, kwargs
