"""Repeated blocks of a recorded run: their operators are written down with other tensors.

`repeats.py` spares a run the blocks that an earlier one answers for. Here every operator of the
earlier block is listed again for the later one, with its inputs, its results, and tensors of its
own in place of the earlier block's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from archscope.analysis.calls import Call, CallLog
from archscope.analysis.likeness import State
from archscope.analysis.nested import tensors
from archscope.analysis.repeats import Block, Repeats, Start
from archscope.analysis.values.answers import Answers
from archscope.records import Operand, OperatorRun

Recorded = tuple[Call, OperatorRun]


class Replays(Repeats):
    """The blocks that a recorded run has seen.

    Args:
        log: the run's calls.
        runs: every operator that was taken down, with its call.
        number: the number of a tensor's memory.
        answers: as for `Repeats`.
    """

    def __init__(
        self,
        log: CallLog,
        runs: list[Recorded],
        number: Callable[[Tensor], int],
        answers: Answers,
    ) -> None:
        super().__init__(log, runs, {}, answers)
        self.runs = runs
        self.number = number
        self._latest: Start | None = None
        self._seen: dict[int, tuple[list[int], list[int]]] = {}
        self._fresh = -1

    def _start(self, module: nn.Module, args: Any, kwargs: Any) -> Start | None:
        self._latest = super()._start(module, args, kwargs)
        return self._latest

    def _remember(self, call: Call, start: Start, states: list[State], result: Any) -> None:
        super()._remember(call, start, states, result)
        self._seen[id(call)] = self._numbers(start.inputs), self._numbers(result)

    def _write_down(self, call: Call, block: Block, modules: list[nn.Module]) -> Any:
        start = self._latest
        assert start is not None
        first_run, first_call = len(self.runs), len(self.log.calls)
        result = super()._write_down(call, block, modules)
        inputs, outputs = self._seen[id(block.call)]
        numbers = dict(zip(inputs, self._numbers(start.inputs), strict=True))
        numbers.update(zip(outputs, self._numbers(result), strict=True))
        earlier = [block.call, *(inner for _, inner in block.below)]
        calls = dict(zip(map(id, earlier), [call, *self.log.calls[first_call:]], strict=True))
        self.runs[first_run:] = self._moved(self.runs[first_run:], calls, numbers)
        return result

    def _numbers(self, values: Any) -> list[int]:
        return [self.number(tensor) for tensor in tensors(values)]

    def _moved(
        self, runs: list[Recorded], calls: dict[int, Call], numbers: dict[int, int]
    ) -> Iterator[Recorded]:
        """The same operators under other calls, on other tensors."""
        for call, run in runs:
            inputs = tuple([self._renumbered(operand, numbers) for operand in run.inputs])
            outputs = tuple([self._renumbered(operand, numbers) for operand in run.outputs])
            moved = OperatorRun(run.name, run.layer, run.phase, inputs, outputs, *run[5:])
            yield calls[id(call)], moved

    def _renumbered(self, operand: Operand, numbers: dict[int, int]) -> Operand:
        number = numbers.get(operand.storage)
        if number is None:
            number = numbers[operand.storage] = self._fresh
            self._fresh -= 1
        return Operand(number, *operand[1:])
