"""How long a generation takes on a GPU: predicted kernel by kernel, beside what its peaks allow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from archscope.ask.generation.steps import Steps
from archscope.ask.network.call import NetworkCall
from archscope.ask.predict import executed, predicted
from archscope.latency.devices import Device
from archscope.latency.rates import Rates
from archscope.records import Prediction
from archscope.records.generation import Duration, Generation, GenerationTime, StepCost


def time_on(rates: Rates, found: Generation, steps: Steps) -> GenerationTime:
    """Predict prefill and decoding on a device.

    Args:
        rates: of the device, in the dtype of the weights.
        found: what was counted.
        steps: the calls that were.
    """

    def predict(call: NetworkCall) -> Prediction:
        return predicted(executed(steps.subject, call, rates.setting, rates.fused_attention), rates)

    @cache
    def step(context: int) -> Prediction:
        return predict(steps.step_call(context))

    def duration(prediction: Prediction, cost: StepCost) -> Duration:
        bound = least(cost, rates.setting.dtype, rates.device)
        low, high = max(bound, prediction.low), max(bound, prediction.high)
        return Duration(max(bound, prediction.seconds), low, high, bound)

    def stepping(cost: StepCost) -> Duration:
        return duration(step(cost.context), cost)

    prompt = predict(steps.prefill_call)
    prefill = duration(prompt, found.prefill)
    spans = [(piece.steps, stepping(piece.first), stepping(piece.last)) for piece in found.pieces]
    first = step(found.pieces[0].first.context).notes if spans else ()
    return GenerationTime(
        device=rates.device.name,
        dtype=rates.setting.dtype,
        prefill=prefill,
        first=spans[0][1] if spans else None,
        last=spans[-1][2] if spans else None,
        total=_total(prefill, spans),
        fitted_on=rates.source,
        notes=tuple(
            note for note in dict.fromkeys((*prompt.notes, *first)) if note not in found.notes
        ),
    )


def _total(prefill: Duration, spans: Sequence[tuple[int, Duration, Duration]]) -> Duration:
    """The prefill and every step, where those between two take the mean of both."""

    def total(quantity: str) -> float:
        def of(duration: Duration) -> float:
            return float(getattr(duration, quantity))

        return of(prefill) + sum(n * (of(first) + of(last)) / 2 for n, first, last in spans)

    return Duration(*map(total, ("seconds", "low", "high", "least")))


def least(cost: StepCost, dtype: str, device: Device) -> float:
    """Seconds of flops at the peak rate, or of weights and cache at the bandwidth: the longer."""
    compute = cost.flops / device.peak(dtype)
    return max(compute, cost.least_bytes / device.bandwidth_bytes_per_second)
