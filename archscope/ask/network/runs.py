"""One run of a network: on meta, or on the CPU where values decide the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from archscope.analysis.values.needed import NEEDS_VALUES
from archscope.ask.network import proof
from archscope.ask.network.allowance import require_memory
from archscope.ask.network.failure import (
    blames_the_user,
    depends_on_values,
    failure,
    in_backward,
    limit,
    place_of,
    untried,
    with_what_fits,
    without_torch_s_advice,
)
from archscope.ask.network.subject import Subject
from archscope.errors import ArchscopeError, first_line
from archscope.parameters import parameter
from archscope.process import undisturbed
from archscope.records import Coverage, Layer

if TYPE_CHECKING:
    from torch import nn

    from archscope.ask.network.call import NetworkCall


Ran = TypeVar("Ran")
Lend = Callable[..., AbstractContextManager[tuple["nn.Module", Any]]]


def count(
    subject: Subject,
    call: NetworkCall,
    backward: bool = False,
    train: bool = False,
    train_only: str | None = None,
) -> tuple[tuple[tuple[Layer, ...], Coverage], Any, tuple[str, ...]]:
    """Layers and coverage of a network that was found, where it ran, and notes; see `analyse`."""
    from archscope.analysis import borrow

    def counted(network: nn.Module, arguments: Any, on_meta: bool) -> Any:
        borrow.set_training(network, train)
        freeze(network, train_only)
        return run_once(network, arguments, backward, on_meta)

    leaves_parameters = not backward and train_only is None
    lend = borrow.owned if subject.private and leaves_parameters else borrow.copied
    return executed(subject, call, counted, lend)


MOVES_ITSELF = "This network names a device itself; it was counted as if all ran on one."


@undisturbed()
@without_torch_s_advice()
def executed(
    subject: Subject,
    call: NetworkCall,
    run: Callable[[nn.Module, Any, bool], Ran],
    lend: Lend | None = None,
) -> tuple[Ran, Any, tuple[str, ...]]:
    """Run a network on meta; where values decide the way, on the CPU.

    Args:
        subject: the network.
        call: what it is called with.
        run: takes a module, the arguments of its call, and whether both are on meta; it may change
            either.
        lend: how the run gets the network (see `borrow`); a copy of it when `None`.

    Returns:
        what `run` returned, where it ran (`meta` or `cpu`), and notes for the reader.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    from archscope.analysis import borrow
    from archscope.analysis.counting import imported_late
    from archscope.analysis.dispatch import asking_about
    from archscope.analysis.dispatch import run as asked

    way = _Way("meta")
    while True:
        imported = imported_late()
        try:
            with (
                asking_about(asked.users or call.device, way.gradients is not None) as said,
                way.lent(subject, call, lend or borrow.copied) as lent,
            ):
                ran = run(*lent, way.device == "meta")
            return ran, way.device, (*way.said, *said)
        except ArchscopeError:
            raise
        except Exception as error:
            if imported == imported_late():
                way = way.after(error, subject, call)


@dataclass(frozen=True)
class _Way:
    """How a network is run.

    Args:
        device: on which.
        as_one_device: whether all devices pass for that one.
        notes: for the reader.
        proved: whether PyTorch runs the same call, so that a failure is not the user's.
        gradients: why autograd records though no backward pass follows; `None` where it does not.
        without: how it failed while autograd did not.
    """

    device: Literal["meta", "cpu"]
    as_one_device: bool = False
    notes: tuple[str, ...] = ()
    proved: bool = False
    gradients: str | None = None
    without: Exception | None = None

    @property
    def said(self) -> tuple[str, ...]:
        """What a reader of the count must know."""
        return self.notes if self.gradients is None else (self.gradients, *self.notes)

    @contextmanager
    def lent(
        self, subject: Subject, call: NetworkCall, lend: Lend
    ) -> Iterator[tuple[nn.Module, Any]]:
        """The copies to run: without weights on meta, with storage on the CPU."""
        from archscope.analysis import borrow
        from archscope.analysis.one_device import OneDevice

        one_device: Callable[[], Any] = OneDevice if self.as_one_device else nullcontext
        if self.device == "meta":
            copies = lend(subject.module, call.original(on_meta=True), borrow.weightless)
        else:
            assert subject.rebuild is not None, "`after` has seen to it"
            with one_device():
                module, given = subject.rebuild(), call.original(on_meta=False)
            copies = borrow.copied(module, given, borrow.with_storage)
        with copies as lent, one_device():
            yield lent

    def after(self, error: Exception, subject: Subject, call: NetworkCall) -> _Way:
        """What to try when this way failed.

        Raises:
            ArchscopeError: nothing else would do.
        """
        from archscope.analysis.dispatch import run as asked
        from archscope.analysis.nested import tensors
        from archscope.analysis.one_device import asks_for_a_device

        if not self.as_one_device and asks_for_a_device(error):
            notes = () if asked.users else (MOVES_ITSELF,)  # it names what the question is about
            return replace(self, as_one_device=True, notes=notes)
        if self.device == "cpu" or not depends_on_values(error):
            return self._when_refused(error, subject, call)
        where = f"{place_of(error)} {getattr(error, 'archscope_why_values', NEEDS_VALUES)}"
        if subject.rebuild is None:
            raise ArchscopeError(
                subject.name,
                f"{where}, and this network has none",
                "give it with its weights",
            ) from error
        require_memory(
            subject,
            tensors(call.on_meta()),
            f"{where}, and a run on the CPU",
            activations=getattr(error, "archscope_activations", 0),
            gradients=getattr(error, "archscope_trains", False),
        )
        note = (
            f"Counted on a real CPU run: {where}, so another input "
            f"(or other weights) may cost something else."
        )
        return replace(self, device="cpu", as_one_device=True, notes=(note,))

    def _when_refused(self, error: Exception, subject: Subject, call: NetworkCall) -> _Way:
        """What to try when the network seems not to take its input: whether PyTorch runs it.

        Raises:
            ArchscopeError: it does not, or it does and cannot be counted on the CPU either.
        """
        refusal = failure(subject.name, call.spec, subject.default_input, error)
        if self.proved:
            raise limit(subject.name, error) from error
        if not blames_the_user(refusal, error):
            raise with_what_fits(refusal, subject.module, call.spec, error) from error
        trains = self._records(error)
        if self.without is None and not trains:  # a network may differentiate in its `forward`
            without = f"{place_of(error)} fails ({first_line(error)})"
            note = f"Counted with gradients enabled: without them, {without}."
            return replace(self, gradients=note, without=error)
        if self.without is not None and str(self.without) == str(error):
            self = replace(self, gradients=None)
        ran = proof.runs(subject, call, trains, self.gradients is not None)
        if ran is None:
            raise untried(refusal) from error
        if not ran:
            raise with_what_fits(refusal, subject.module, call.spec, error) from error
        if self.device == "cpu":
            raise limit(subject.name, error) from error
        note = (
            f"Counted on a real CPU run: {place_of(error)} runs only with weights "
            f"({first_line(error)})."
        )
        return replace(self, device="cpu", as_one_device=True, notes=(note,), proved=True)

    def _records(self, error: Exception) -> bool:
        """Whether autograd recorded because a backward pass was to follow, or did."""
        trains: bool = getattr(error, "archscope_trains", False) or in_backward(error)
        return trains and self.gradients is None


def run_once(
    network: nn.Module,
    arguments: tuple[tuple[Any, ...], dict[str, Any]],
    backward: bool,
    on_meta: bool,
) -> tuple[tuple[Layer, ...], Coverage]:
    """Count one run of a lent network; see `analyse` for the options.

    Raises:
        Exception: whatever the network raises; `place_of` tells where.
    """
    import torch

    from archscope.analysis import calls, trace

    args, kwargs = arguments
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` wakes every device
    log, coverage = trace.run(network, args, kwargs, backward=backward, on_meta=on_meta)
    return calls.layers(log, backward), coverage


def freeze(network: nn.Module, train_only: str | None) -> None:
    """Leave trainable the parameters that a pattern chooses; everything when `None`.

    Raises:
        ArchscopeError: nothing matches.
    """
    from archscope.analysis.gradients import freeze_all_but

    if train_only is not None and not freeze_all_but(network, train_only):
        names = [name for name, _ in network.named_children()]
        raise ArchscopeError(
            parameter("train_only", train_only),
            "matches no trainable parameter",
            f"name a parameter or module, such as {names[-1] if names else 'weight'}",
        )
