"""How long it takes on a GPU that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast, overload

from archscope.api.answer import Answer, Predicted
from archscope.api.asked import asked
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_targets
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    from archscope.ask.gpus import Measured
    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model, Target
    from archscope.records import Prediction


@overload
def predict(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    device: str | None = None,
    peak: float | None = None,
    bandwidth: float | None = None,
    batch: int | None = None,
    dtype: str = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    calibrate: Sequence[Measured] = (),
    explain: str | Sequence[str] = (),
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Predicted: ...


@overload
def predict(
    network: Model | Sequence[Model] | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    device: str | Sequence[str] | None = None,
    peak: float | None = None,
    bandwidth: float | None = None,
    batch: int | None = None,
    dtype: str = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    calibrate: Sequence[Measured] = (),
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Prediction, ...]]: ...


@allowing
def predict(
    network: Model | Sequence[Model] | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    device: str | Sequence[str] | None = None,
    peak: float | None = None,
    bandwidth: float | None = None,
    batch: int | None = None,
    dtype: str = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    calibrate: Sequence[Measured] = (),
    explain: str | Sequence[str] = (),
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Predicted | Answer[tuple[Prediction, ...]]:
    """Predict how long a step takes on a GPU that need not be here.

    Args:
        network: as for `summary`, or a list of networks.
        input: as for `summary`.
        device: its name, such as `"rtx4090"`, or a device file; a list for several of them.
        peak: a GPU by its flop/s in `dtype`, such as `989e12`, in place of a name.
        bandwidth: and its memory's bytes/s, such as `4.8e12`.
        batch: batch size of a specification, 1 by default.
        dtype: `"amp"` (autocast to float16), `"float16"`, `"bfloat16"`, `"float32"` or `"tf32"`.
        layout: `"nchw"` or `"nhwc"` (channels last).
        mode: `"inference"` or `"training"`.
        compiled: whether `torch.compile` fuses its operators.
        calibrate: profiles measured on the GPU, or their files, to correct the prediction by.
        explain: patterns of the layers whose arithmetic is printed.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Returns:
        the prediction; for a list of networks or of devices all of them, network by network.

    Raises:
        ArchscopeError: the network cannot be run, the device is unknown, or profiles are of
            another one.

    Example:
        >>> predicted = archscope.predict("resnet50", device="rtx4090", batch=256, layout="nhwc")
        >>> predicted.seconds, predicted.interval  # doctest: +SKIP
        >>> pair = archscope.predict(["resnet18", "resnet34"], device=["t4", "h100"]).record
        >>> [(one.model, one.device) for one in pair[:2]]
        [('resnet18', 'NVIDIA T4'), ('resnet18', 'NVIDIA H100 SXM5 80 GB')]
    """
    from archscope.ask.gpus import gpus
    from archscope.ask.predict import explained, predictions
    from archscope.latency.setting import Setting
    from archscope.study.page import with_prediction_page
    from archscope.study.predict import arithmetic_report, predict_report

    setting = Setting(mode, dtype, layout, compiled)
    names = [device] if isinstance(device, str) else list(device or ())
    if isinstance(device, str) and not (peak is None and bandwidth is None):
        raise ArchscopeError(
            parameter("device", device), "is another GPU than that of the rates",
            f"leave one out, or write {parameter('device')}=[{device!r}] for both",
        )  # fmt: skip
    found = gpus(names, peak=peak, bandwidth=bandwidth, dtype=dtype, calibrate=calibrate)
    targets = _asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    if explain:
        patterns = [explain] if isinstance(explain, str) else explain
        steps = explained(targets, found, setting, patterns)
        return Predicted(steps.prediction, lambda: arithmetic_report(steps))
    records = predictions(targets, found, setting)
    if isinstance(network, (list, tuple)) or not (device is None or isinstance(device, str)):
        each = [target for target in targets for _ in found]
        return Answer(
            tuple(records), lambda: with_prediction_page(predict_report(records), each, records)
        )
    return Predicted(
        records[0], lambda: with_prediction_page(predict_report(records), targets, records)
    )


def _asked(
    network: Model | Sequence[Model] | None, model: Source | None, **question: Any
) -> list[Target]:
    """The networks that are asked about; see `asked`."""
    if isinstance(network, (list, tuple)):
        return network_targets(network, **question, beside=model)
    return [asked(cast("Model | None", network), model, **question)]
