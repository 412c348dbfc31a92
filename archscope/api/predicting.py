"""How long it takes on a GPU that is not here."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from archscope.api.answer import Answer, Predicted, remembering
from archscope.api.asked import asked
from archscope.api.fitted import Fitted, warn_left_out
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_targets
from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    import torch

    from archscope.ask.gpus import Measured
    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model, Target
    from archscope.engines.shard import Shard
    from archscope.latency.devices import Device
    from archscope.latency.setting import Setting
    from archscope.records import Prediction


@overload
def predict(
    network: Model | Sequence[Model] | None = None,
    /,
    input: Input | None = None,
    *,
    fit: Literal[True],
    model: Source | None = None,
    device: str | None = None,
    batch: int | None = None,
    dtype: str | torch.dtype = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    on: str = "local",
    gpu: str = "",
    shard: str | None = None,
    journal: str | PathLike[str] | None = None,
    resume: bool = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Fitted: ...


@overload
def predict(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    device: str | None = None,
    peak: float | str | None = None,
    bandwidth: float | str | None = None,
    batch: int | None = None,
    dtype: str | torch.dtype = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    own_hosts: bool = False,
    calibrate: Sequence[Measured] = (),
    explain: str | Sequence[str] = (),
    fit: Literal[False] = False,
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
    peak: float | str | None = None,
    bandwidth: float | str | None = None,
    batch: int | None = None,
    dtype: str | torch.dtype = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    own_hosts: bool = False,
    calibrate: Sequence[Measured] = (),
    fit: Literal[False] = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Prediction, ...]]: ...


@remembering
@allowing
@spelt
def predict(
    network: Model | Sequence[Model] | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    device: str | Sequence[str] | None = None,
    peak: float | str | None = None,
    bandwidth: float | str | None = None,
    batch: int | None = None,
    dtype: str | torch.dtype = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    own_hosts: bool = False,
    calibrate: Sequence[Measured] = (),
    explain: str | Sequence[str] = (),
    fit: bool = False,
    on: str = "local",
    gpu: str = "",
    shard: str | None = None,
    journal: str | PathLike[str] | None = None,
    resume: bool = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Predicted | Answer[tuple[Prediction, ...]] | Fitted:
    """Predict how long a step takes on a GPU that need not be here.

    Args:
        network: as for `summary`, or a list of networks.
        input: as for `summary`.
        device: its name, such as `"rtx4090"`, or a device file; a list for several of them.
        peak: a GPU by its flop/s in `dtype`, `989e12` or `"989T"`, in place of a name.
        bandwidth: and its memory's bytes/s, `4.8e12` or `"4.8T"`.
        batch: batch size of a specification, 1 by default.
        dtype: `"amp"` (autocast to float16), `"float16"`, `"bfloat16"`, `"float32"` or `"tf32"`.
        layout: `"nchw"` or `"nhwc"` (channels last).
        mode: `"inference"` or `"training"`.
        compiled: whether `torch.compile` fuses its operators.
        own_hosts: whether each GPU has the host that it was measured on; otherwise several GPUs
            are compared on one, that of the newest software.
        calibrate: profiles measured on the GPU, or their files, or those of traces of the network,
            to correct the prediction by.
        explain: patterns of the layers whose arithmetic is printed.
        fit: make a device of the networks, which are saved profiles of it or are measured now: its
            answer, saved as `mygpu.json`, is a device file.
        on: for `fit`, where networks are measured: `"local"`, `"ray"`, or `"ray://host:10001"`.
        gpu: for `fit` on Ray, a GPU with this label, such as `"A100"`.
        shard: for `fit`, `"3/8"` measures every eighth network; see `merge`.
        journal: for `fit`, a file that holds every network as soon as it is measured.
        resume: for `fit`, measure only the networks that the journal does not hold.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Returns:
        the prediction; for a list of networks or of devices all of them, network by network; for
        `fit` the device.

    Raises:
        ArchscopeError: the network cannot be run, the device is unknown, or profiles are of
            another one.

    Examples:
        >>> predicted = archscope.predict("resnet50", device="rtx4090", batch=256, layout="nhwc")
        >>> predicted.seconds, predicted.interval  # doctest: +SKIP
        >>> pair = archscope.predict(["resnet18", "resnet34"], device=["t4", "h100"]).record
        >>> [(one.model, one.device) for one in pair[:2]]
        [('resnet18', 'NVIDIA T4'), ('resnet18', 'NVIDIA H100 SXM5 80 GB')]
    """
    from archscope.ask.gpus import gpus
    from archscope.ask.predict import explained, predictions
    from archscope.ask.profile.refused import check_not_fitted
    from archscope.engines.shard import ALL, parse_shard
    from archscope.latency.setting import Setting
    from archscope.measure import silence_profiler
    from archscope.study.page import with_prediction_page
    from archscope.study.predict import arithmetic_report, predict_report

    silence_profiler()
    setting = Setting(mode, full_name(dtype), layout, compiled)
    question = {"input": input, "batch": batch, "keywords": constructor_keywords}
    part = ALL if shard is None else parse_shard(shard)
    if fit:
        given = cast("Sequence[Model]", network if _is_list(network) else [network or model])
        sheet = _sheet(device, peak=peak, bandwidth=bandwidth, calibrate=calibrate, explain=explain)
        return _fitted(given, question, sheet, setting, on, gpu, part, journal, resume)
    check_not_fitted(gpu, part, journal, resume)
    _check_here(on)
    names = [device] if isinstance(device, str) else list(device or ())
    if isinstance(device, str) and not (peak is None and bandwidth is None):
        raise ArchscopeError(
            parameter("device", device), "is not the GPU of the rates",
            f"leave one out, or write {parameter('device')}=[{device!r}] for both",
        )  # fmt: skip
    targets = _asked(network, model, **question)
    found = gpus(
        names,
        peak=peak,
        bandwidth=bandwidth,
        dtype=setting.dtype,
        calibrate=calibrate,
        networks=targets,
    )
    if explain:
        patterns = [explain] if isinstance(explain, str) else explain
        steps = explained(targets, found, setting, patterns)
        return Predicted(steps.prediction, lambda: arithmetic_report(steps))
    records = predictions(targets, found, setting, own_hosts)
    if _is_list(network) or not (device is None or isinstance(device, str)):
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
    """The networks that are asked about; see `asked`.

    Raises:
        ArchscopeError: an empty list, or as `asked` raises.
    """
    if isinstance(network, (list, tuple)):
        if not network:
            raise ArchscopeError(parameter("network"), "is an empty list", "name a network")
        return network_targets(network, **question, beside=model)
    return [asked(cast("Model | None", network), model, **question)]


def _check_here(on: str) -> None:
    """Refuse a place to run where nothing runs; the GPU that is asked about is a device.

    Raises:
        ArchscopeError: it is not this machine.
    """
    if on == "local":
        return
    from archscope.engines.place import is_place

    if is_place(on):
        problem, remedy = f"goes with {parameter('fit', True)}", "leave it out"
    else:
        problem, remedy = (
            "is no place where networks are measured",
            f"name the GPU as {parameter('device', on)}",
        )
    raise ArchscopeError(parameter("on", on), problem, remedy)


def _is_list(network: object) -> bool:
    return isinstance(network, (list, tuple))


def _sheet(device: str | Sequence[str] | None, **others: object) -> str | None:
    """The device whose data sheet a fit starts from.

    Raises:
        ArchscopeError: several, or what decides predictions alone.
    """
    for name, value in others.items():
        if value not in (None, ()):
            raise ArchscopeError(name, f"does not go with {parameter('fit', True)}", "leave it out")
    if device is None or isinstance(device, str):
        return device
    raise ArchscopeError("device", "a fit is of one device", "name it alone")


def _fitted(
    given: Sequence[Model], question: dict[str, Any], sheet: str | None, setting: Setting,
    on: str, gpu: str, shard: Shard, journal: str | PathLike[str] | None, resume: bool,
) -> Fitted:  # fmt: skip
    """The device that profiles give, those of networks measured now among them."""
    from archscope.ask import fit
    from archscope.ask.profile.refused import check_not_fitted, check_shard
    from archscope.ask.target import network_target
    from archscope.measure import silence_profiler
    from archscope.saved.record import saved
    from archscope.study.predict.fitted import fit_report

    runs = [record for record in map(saved, given) if record is not None]
    networks = [network_target(one, **question) for one in given if saved(one) is None]
    if networks:
        silence_profiler()
        check_shard(shard, journal)
        how = fit.measuring(setting, on, gpu)
        with fit.long_run(networks, how, shard).named_journal(journal, resume) as finished:
            runs += fit.measured(networks, how, shard, finished, warn_left_out)
    else:
        check_not_fitted(gpu, shard, journal, resume)
    found = fit.fitted(runs, sheet)
    return Fitted(found, lambda: fit_report(found))


def devices(pattern: str = "") -> Answer[tuple[Device, ...]]:
    """The GPUs that `predict` knows, with their rates.

    Args:
        pattern: part of a name, such as `"rtx"`, or an architecture, such as `"hopper"`.

    Raises:
        ArchscopeError: no device has such a name.

    Examples:
        >>> archscope.devices("rtx4090").record[0].bandwidth_bytes_per_second  # in its data sheet
        1008000000000
    """
    from archscope.latency.devices import matching_devices
    from archscope.study.devices import devices_report

    found = tuple(matching_devices(pattern))
    return Answer(found, lambda: devices_report(found))
