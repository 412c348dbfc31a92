"""A saved record → the report that the command printed that made it."""

from __future__ import annotations

from archscope.records import (
    Analysis,
    BatchSweep,
    Generation,
    MemoryPrediction,
    Prediction,
    Profile,
    SignalPropagation,
)
from archscope.table import Report


def record_report(record: object) -> Report:
    """The report of a record.

    Args:
        record: of any kind that a file can hold.

    Raises:
        TypeError: it is of another kind.
    """
    if isinstance(record, Analysis):
        from archscope.study.summary import summary_report

        return summary_report(record)
    if isinstance(record, (Profile, BatchSweep)):
        from archscope.study.profile import profile_report

        return profile_report(record.profiles if isinstance(record, BatchSweep) else [record])
    if isinstance(record, MemoryPrediction):
        from archscope.study.memory import memory_report

        return memory_report(record)
    if isinstance(record, SignalPropagation):
        from archscope.study.signal import signal_report

        return signal_report(record)
    if isinstance(record, Generation):
        from archscope.study.generation import generation_report

        return generation_report(record)
    if isinstance(record, Prediction):
        from archscope.study.predict import predict_report

        return predict_report([record])
    raise TypeError(f"{type(record).__name__} is not a record")
