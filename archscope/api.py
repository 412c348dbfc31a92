"""The Python API: what the command line does, with results that print, show and convert."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archscope.ask.target import Target, network_target, side_by_side, target
from archscope.errors import ArchscopeError
from archscope.records import Analysis, Coverage, Layer, Prediction, Totals
from archscope.table import Report, Table

if TYPE_CHECKING:
    import pandas

    from archscope.measure.session import Plan


class Result:
    """An answer; prints as its tables, shows in a notebook, and saves like `-o`.

    Args:
        report: tables, figures and the record behind them.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def to_frame(self) -> pandas.DataFrame:
        """The plain rows: one a layer, a model or a point, with units in the column names."""
        import pandas

        table = self._rows()
        keys = [column.key for column in table.columns]
        frame: pandas.DataFrame = pandas.DataFrame(table.records(), columns=keys)
        frame.attrs["title"] = table.title
        return frame

    def save(self, *paths: str) -> None:
        """Write files; the suffix of each picks its format, as with `-o`.

        Raises:
            ArchscopeError: an unknown suffix, or a file that cannot be written.
        """
        from archscope.output import write

        write(self.report, paths)

    def _rows(self) -> Table:
        return self.report.data or self.report.tables[0]

    def __str__(self) -> str:
        from archscope.output import Screen, printed

        return printed(self.report, Screen.of(sys.stdout)).rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from archscope.render.html import html_fragment

        return "".join(map(html_fragment, self.report.tables))


class Summary(Result):
    """What a network costs; its tables are made when they are first looked at.

    Args:
        analysis: the record behind it.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis

    @cached_property
    def report(self) -> Report:  # type: ignore[override]
        """Tables and the record behind them."""
        from archscope.study.summary import summary_report

        return summary_report(self.analysis)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that compute, in execution order."""
        return self.analysis.layers

    @property
    def total(self) -> Totals:
        """Sums over all layers."""
        return self.analysis.total

    @property
    def coverage(self) -> Coverage:
        """Which operators the count knows."""
        return self.analysis.coverage


def summary(
    model: Any,
    input: Any = None,
    backward: bool = False,
    *,
    batch: int | None = None,
    train: bool = False,
    train_only: str | None = None,
    **constructor_keywords: Any,
) -> Summary:
    """Count what a network costs, layer by layer.

    Args:
        model: a name (`"resnet50"`, `"timm:convnext_tiny"`, `"nets.py:Net"`), an `nn.Module`, a
            class or function that makes one, or a saved record (`"run.json"`).
        input: a specification without the batch (`"3x224x224"`, `"ids=128:int64"`), a tensor, a
            tuple of positional arguments, or a dictionary of keyword arguments.
        backward: also count the backward pass.
        batch: batch size of a specification, 1 by default.
        train: run in training mode instead of evaluation mode.
        train_only: glob of the parameter or module names that stay trainable.
        constructor_keywords: passed to the constructor of a named network or a class.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input.

    Example:
        >>> archscope.summary("resnet50").total.macs
        4089184256
    """
    from archscope.ask.count import analyse

    keywords: Mapping[str, Any] = constructor_keywords
    return Summary(
        analyse(
            target(model, input=input, batch=batch, keywords=keywords),
            backward=backward,
            train=train,
            train_only=train_only,
        )
    )


def _network(network: Any, model: Any, **question: Any) -> Target:
    """The network that is asked about: `model` beside a record, or alone."""
    if network is None:
        return network_target(model, **question)
    return network_target(network, **question, beside=model)


class Found(Result):
    """An answer with the record behind it.

    Args:
        record: a closed form, a predicted memory or a measured profile.
        report: what is printed of it.
    """

    def __init__(self, record: Any, report: Report) -> None:
        super().__init__(report)
        self.record = record


def compare(*models: Any, input: Any = None, batch: int | None = None) -> Result:
    """Networks side by side: totals with ratios, and where the differences lie.

    Args:
        models: at least two, each as for `summary`; a saved Profile brings its measured times.
        input: a specification for all that are counted now; each one's default when `None`.
        batch: batch size of all that are counted now.

    Raises:
        ArchscopeError: fewer than two models, or one that cannot be counted.
    """
    from archscope.ask.contenders import contenders
    from archscope.study.compare import compare_report

    return Result(compare_report(contenders(side_by_side(models, input=input, batch=batch))))


def explain(model: Any, *layers: str, input: Any = None, **constructor_keywords: Any) -> Result:
    """The arithmetic of every layer, or of those named, with the numbers in place.

    Args:
        model: as for `summary`.
        layers: names or globs.
        input: as for `summary`.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be counted, or no layer has such a name.
    """
    from archscope.ask.count import analyse_both_passes
    from archscope.study.explain import explain_report

    analysis = analyse_both_passes(target(model, input=input, keywords=constructor_keywords))
    return Result(explain_report(analysis, layers))


def formula(
    network: Any = None,
    /,
    input: str | None = None,
    *,
    model: Any = None,
    **constructor_keywords: Any,
) -> Found:
    """Totals and layers in closed form; the `Formula` is its `record`.

    Args:
        network: as for `summary`.
        input: a specification with symbols, `3xHxW`; all sides that may vary when `None`.
        model: the network of a saved record, where its name is none of a library.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network has no closed form in these symbols.
    """
    from archscope.ask.symbols import formula as study
    from archscope.study.formula import formula_report

    found = study.formula(_network(network, model, input=input, keywords=constructor_keywords))
    return Found(found, formula_report(found))


def memory(
    network: Any = None,
    /,
    input: Any = None,
    *,
    model: Any = None,
    batch: int | None = None,
    optimizer: str = "sgd",
    **constructor_keywords: Any,
) -> Found:
    """Predict what a training step holds in memory, tensor by tensor, without running it.

    The `MemoryPrediction` is its `record`.

    Args:
        network: as for `summary`.
        input: as for `summary`.
        batch: batch size of a specification, 1 by default.
        optimizer: `sgd`, `momentum`, `adam` or `adamw`.
        model: the network of a saved record, where its name is none of a library.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run.
    """
    from archscope.ask.memory import Setting, predict
    from archscope.study.memory import memory_report

    setting = Setting(optimizer=optimizer)
    predicted = predict(
        _network(network, model, input=input, batch=batch, keywords=constructor_keywords), setting
    )
    return Found(predicted, memory_report(predicted))


def generate(
    model: Any,
    prompt: int = 2048,
    tokens: int = 256,
    *,
    batch: int = 1,
    **constructor_keywords: Any,
) -> Found:
    """Count the prefill and decoding of a language model; the `Generation` is its `record`.

    Args:
        model: as for `summary`; its `forward` returns a cache that it takes again.
        prompt: tokens of each prompt.
        tokens: to generate in each sequence.
        batch: sequences at a time.
        constructor_keywords: settings of the configuration, or keywords of the constructor.

    Raises:
        ArchscopeError: the network cannot be run, or keeps no cache.

    Example:
        >>> archscope.generate("hf:llama", 1024, 1, dtype="bfloat16").record.cache_bytes
        536870912
    """
    from archscope.ask.generation.run import generation
    from archscope.study.generation import generation_report

    found = generation(model, prompt, tokens, batch=batch, keywords=constructor_keywords)
    return Found(found, generation_report(found))


def profile(
    network: Any = None,
    /,
    input: Any = None,
    *,
    model: Any = None,
    batch: int | None = None,
    plan: Plan | None = None,
    **constructor_keywords: Any,
) -> Found:
    """Measure forward and backward time, whole and by layer; the `Profile` is its `record`.

    Args:
        network: as for `summary`.
        input: a specification.
        batch: batch size, 8 by default.
        plan: device, settings, precision (see `Plan`, `Settings`, `StoppingRule`); the usual ones
            when `None`.
        model: the network of a saved record, where its name is none of a library.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: no such device, or the network fails on it.
    """
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile import measured
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.saved import answers
    from archscope.study.profile import profile_report

    chosen = replace(plan or Plan(), roofs=answers.roofs())
    try:
        measurement = measured.profile(
            _network(network, model, input=input, batch=batch, keywords=constructor_keywords),
            chosen,
        )
    except ArchscopeError as error:
        if error.argument not in {setting.name for setting in fields(Settings)}:
            raise
        remedy = f"give it as plan=archscope.Plan(archscope.Settings({error.argument}=…))"
        raise ArchscopeError(error.argument, "is no keyword of this network", remedy) from error
    return Found(measurement, profile_report([measurement]))


class Predicted(Result):
    """A predicted time; the `Prediction` is its `record`.

    Args:
        record: what was predicted.
        report: what is printed of it.
    """

    def __init__(self, record: Prediction, report: Report) -> None:
        super().__init__(report)
        self.record = record

    @property
    def seconds(self) -> float:
        """Seconds a step."""
        return self.record.seconds

    @property
    def interval(self) -> tuple[float, float]:
        """The 80 % interval of the seconds a step."""
        return self.record.low, self.record.high

    @property
    def samples_per_second(self) -> float:
        """Samples of the batch a second."""
        return self.record.samples_per_second


def predict(
    network: Any = None,
    /,
    input: Any = None,
    *,
    model: Any = None,
    device: str,
    batch: int | None = None,
    dtype: str = "amp",
    layout: str = "nchw",
    mode: str = "inference",
    compiled: bool = False,
    **constructor_keywords: Any,
) -> Predicted:
    """Predict how long a step takes on a GPU that need not be here.

    Args:
        network: as for `summary`.
        input: as for `summary`.
        device: its name, such as `"rtx4090"`.
        batch: batch size of a specification, 1 by default.
        dtype: `"amp"` (autocast to float16), `"float32"`, `"float16"` or `"bfloat16"`.
        layout: `"nchw"` or `"nhwc"` (channels last).
        mode: `"inference"` or `"training"`.
        compiled: whether `torch.compile` fuses its operators.
        model: the network of a saved record, where its name is none of a library.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run, or the device is unknown.

    Example:
        >>> predicted = archscope.predict("resnet50", device="rtx4090", batch=256, layout="nhwc")
        >>> predicted.seconds, predicted.interval
    """
    from archscope.ask.predict import predict as predicted
    from archscope.latency.setting import Setting
    from archscope.study.predict import predict_report

    record = predicted(
        _network(network, model, input=input, batch=batch, keywords=constructor_keywords),
        device,
        Setting(mode, dtype, layout, compiled),
    )
    return Predicted(record, predict_report([record]))
