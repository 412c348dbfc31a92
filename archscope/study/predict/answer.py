"""The sentence that answers: how long, how sure, or which of several is faster."""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, exp, log, sqrt

from archscope.records import Prediction
from archscope.units import seconds
from archscope.wording import network_title

EIGHTY_PERCENT = 1.2816
"""Standard deviations from the middle to either end of an interval that holds 80 %."""


def answer(predictions: Sequence[Prediction]) -> str:
    """The sentence above the tables."""
    bounds = dict.fromkeys(name(p) for p in predictions if p.unknown)
    below = f"; {' and '.join(bounds)} may take longer" if bounds and predictions[1:] else ""
    return f"{_answer(predictions)}{_starting(predictions)}{below}."


def _starting(predictions: Sequence[Prediction]) -> str:
    """Which steps the host's launches bound, not the work of the GPU."""
    bound = [prediction for prediction in predictions if prediction.launch_bound]
    if not bound:
        return ""
    hosts = [prediction.host_seconds for prediction in bound]
    shortest, longest = seconds(min(hosts)), seconds(max(hosts))
    needed = shortest if shortest == longest else f"{shortest} to {longest}"
    which = f" in {len(bound)} of {len(predictions)} steps" if predictions[1:] else ""
    if len(bound) == len(predictions) > 1:
        which = " in each step"
    return f"; launch-bound{which}: the host needs {needed} to start the kernels"


def _answer(predictions: Sequence[Prediction]) -> str:
    first = predictions[0]
    same_device = len({(p.device, p.fitted_on) for p in predictions}) == 1
    same_network = len({name(p) for p in predictions}) == 1
    if len(predictions) == 1:
        most = "at most " if first.unknown else ""
        rate = f"{most}{first.samples_per_second:,.0f} samples/s"
        return (
            f"{name(first)} takes {_bound(first)}{interval(first)} a step on {place(first)}: "
            f"{rate}, predicted"
        )
    if same_device and len(predictions) == 2:
        return _pair(first, predictions[1])
    fastest = min(predictions, key=lambda p: p.seconds / _batch(p))
    if same_network and _tie(predictions):
        subject = f"The {len(predictions)} GPUs tie for {name(first)}"
    elif same_network:
        title = device_title(fastest)
        subject = f"{title[0].upper()}{title[1:]} is predicted fastest for {name(first)}"
    else:
        subject = f"{name(fastest)} on {device_title(fastest)} is predicted fastest"
    return f"{subject}: {interval(fastest)} a step, {setting_title(fastest)}"


def _tie(predictions: Sequence[Prediction]) -> bool:
    """Whether the same host bounds each step, so that no GPU is faster than another."""
    times = [p.seconds / _batch(p) for p in predictions]
    return all(p.launch_bound for p in predictions) and max(times) < TIE * min(times)


TIE = 1.005
"""Times that differ by less are the same in the three digits that are shown."""


def heading(predictions: Sequence[Prediction]) -> str:
    """What is compared: `resnet50 · resnext50_32x4d, inference, AMP, batch 256`."""
    names = " · ".join(dict.fromkeys(map(name, predictions)))
    return f"{names}, {setting_title(predictions[0])}"


def _pair(first: Prediction, second: Prediction) -> str:
    low, ratio, high = time_ratio(first, second)
    return (
        f"{name(second)} takes {ratio:.2f}× ({low:.2f}–{high:.2f}×) the time of {name(first)} on "
        f"{place(first)}, predicted"
    )


def time_ratio(first: Prediction, second: Prediction) -> tuple[float, float, float]:
    """How much longer the second takes: low, middle and high end of an 80 % interval."""
    middle = log(second.seconds / _batch(second)) - log(first.seconds / _batch(first))
    half = EIGHTY_PERCENT * sqrt(spread(first) ** 2 + spread(second) ** 2)
    return exp(middle - half), exp(middle), exp(middle + half)


def chance_faster(one: Prediction, other: Prediction) -> float:
    """Chance that `one` takes less time a sample than `other`, from both intervals."""
    middle = log(other.seconds / _batch(other)) - log(one.seconds / _batch(one))
    return (1 + erf(middle / sqrt(2 * (spread(one) ** 2 + spread(other) ** 2)))) / 2


def spread(prediction: Prediction) -> float:
    """Standard deviation of the logarithm of the time."""
    return log(prediction.high / prediction.low) / (2 * EIGHTY_PERCENT)


def name(prediction: Prediction) -> str:
    """The network with its keywords."""
    return network_title(prediction.model, prediction.keywords)


def interval(prediction: Prediction) -> str:
    """`49.1 ms (44.5–54.6 ms)`."""
    low, high = seconds(prediction.low), seconds(prediction.high)
    if low.partition(" ")[2] == high.partition(" ")[2]:
        low = low.partition(" ")[0]
    return f"{seconds(prediction.seconds)} ({low}–{high})"


def device_title(prediction: Prediction) -> str:
    """`an RTX 4090`."""
    short = prediction.short_device
    article = "an" if short[0] in "AEFHILMNORSX" else "a"
    return f"{article} {short}"


def setting_title(prediction: Prediction) -> str:
    """`inference, AMP, channels last, batch 256`."""
    mode = "inference, " if prediction.mode == "inference" else ""
    return f"{mode}{prediction.how}, batch {prediction.input.batch}"


def place(prediction: Prediction) -> str:
    """`an RTX 4090, inference, AMP, channels last, batch 256`."""
    return f"{device_title(prediction)}, {setting_title(prediction)}"


def _bound(prediction: Prediction) -> str:
    return "at least " if prediction.unknown else ""


def _batch(prediction: Prediction) -> int:
    batch = prediction.input.batch
    assert isinstance(batch, int)
    return batch
