"""What a run that failed tells its user: where, why, and what to give instead."""

from __future__ import annotations

import dis
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from archscope.analysis.values.needed import NoValueError
from archscope.ask.network.proposal import dictionary, lacking_arguments, meant
from archscope.ask.network.sizes import fitting_image
from archscope.errors import ArchscopeError, BackwardError, NetworkError, first_line
from archscope.parameters import parameter
from archscope.records import InputSpec
from archscope.resolve.huggingface.configuration import lacking
from archscope.resolve.inputs import input_text
from archscope.units import plural

if TYPE_CHECKING:
    from torch import nn

_TORCH = str(Path(find_spec("torch").origin or "").parent)  # type: ignore[union-attr]

_ARCHSCOPE = str(Path(__file__).parents[2])

_NEEDS_VALUES = re.compile(
    r"(?<![\w.])[Mm]eta(?!\w|\.\w)"  # "on meta tensors", "device meta!" (torch 2.14)
    r"|'Meta\w+Type'"  # `pin_memory` (torch 2.14)
    r"|data-dependent"  # shapes that are values, under fake tensors (torch 2.14)
)
"""What PyTorch says where a meta tensor is asked for its values; a class `MetaFormer` is none."""

NO_GRADIENT_OF_ITS_OWN = ".*an autograd kernel was not registered to the Autograd key"


@contextmanager
def without_torch_s_advice() -> Iterator[None]:
    """Silence what PyTorch tells the author of an operator, in a run that only counts.

    The results carry no gradients that anybody trains with.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_GRADIENT_OF_ITS_OWN, UserWarning)
        warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
        warnings.filterwarnings("ignore", "Using a non-tuple sequence", UserWarning)
        yield


_SPARSE = ("not defined for sparse tensors", "Cannot access storage of Sparse")
"""What PyTorch says when it is asked for the bytes of a sparse tensor, or for its storage."""


def _makes_sparse(error: BaseException) -> bool:
    return any(sign in str(error) for sign in _SPARSE)


def depends_on_values(error: BaseException) -> bool:
    """Whether a run failed on meta only because meta tensors hold no values."""
    if isinstance(error, NoValueError):
        return True
    if _raised_by_the_network(error):
        return False
    if _makes_sparse(error):
        return False
    if isinstance(error, NotImplementedError):  # PyTorch's, of an operator without a meta kernel
        return True
    return isinstance(error, (RuntimeError, ValueError, TypeError)) and bool(
        _NEEDS_VALUES.search(str(error))
    )


def _raised_by_the_network(error: BaseException) -> bool:
    """Whether a `raise` of the network's own code made an error, and not a call of PyTorch."""
    place = error.__traceback__
    if place is None:
        return False
    while place.tb_next is not None:
        place = place.tb_next
    code = place.tb_frame.f_code
    raises = code.co_code[place.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raises and not code.co_filename.startswith(_TORCH)


NOWHERE = "the network"
"""Where an exception comes from that no module call raised."""


def place_of(error: BaseException) -> str:
    """The innermost module call that an exception came from, `fc (Linear)`."""
    call = getattr(error, "archscope_call", None)
    if call is None:
        return NOWHERE
    kind = type(call.module).__name__
    return f"{call.name} ({kind})" if call.name else kind


@contextmanager
def training_of(name: str, remedy: str) -> Iterator[None]:
    """Tell of outputs without a loss, and of a backward pass that fails, under the network's name.

    Args:
        name: the network's; the loss itself knows none.
        remedy: what the command offers instead.
    """
    try:
        yield
    except NetworkError as error:
        raise error.named(name, remedy) from error
    except BackwardError as error:
        raise BackwardError(name, error.problem, remedy) from error


def failure(
    name: str, given: InputSpec, default: InputSpec | None, error: BaseException
) -> ArchscopeError:
    """One line for an exception of a network's own code.

    Args:
        name: the network's.
        given: the input it failed on.
        default: the input that it takes by default, where one is known.
        error: what it raised; see `analysis.trace.run`.
    """
    from archscope.analysis.gradients import NoGradientError

    if isinstance(error, NoGradientError):
        return BackwardError(
            name,
            "has no output that needs a gradient",
            "count the forward pass alone, or see that it has trainable parameters and returns "
            "what they compute",
        )
    if in_backward(error):
        return _backward_failure(name, error)
    if _makes_sparse(error):
        return ArchscopeError(
            name,
            f"{place_of(error)} makes a sparse tensor, whose work depends on the values it holds",
            "make it dense there to count the products of a dense one",
        )
    if "NestedTensorImpl" in str(error):
        return ArchscopeError(
            name,
            f"{place_of(error)} makes a nested tensor of the strided layout, whose operators "
            f"cannot be observed",
            "make it with layout=torch.jagged, or pad it",
        )
    if one_sample(given, error):
        return one_sample_failure(name, place_of(error))
    if (place := _faulty_code(error)) and not lacking(error):
        return ArchscopeError(name, f"fails at {place}: {_reason(error)}", CORRECT)
    remedy = lacking(error) or TAKES_INPUT
    if default is not None and default != given:
        remedy = f"its default is {parameter('input', input_text(default))}"
    if suggestion := meant(given, default, error):
        remedy = f"{suggestion}?"
    if missing := lacking_arguments(given, error):
        remedy = f"give one like {missing}"
    reason = channels_refused(error) or _reason(error)
    if entries := dictionary(given, error):
        remedy = f"write its entries like {parameter('input', entries)}"
        reason = "its forward takes a dictionary"
    return ArchscopeError(
        parameter("input", input_text(given) or given),
        f"{name} fails in {place_of(error)}: {reason}",
        remedy,
    )


def with_what_fits(
    refusal: ArchscopeError, module: nn.Module, given: InputSpec, error: BaseException
) -> ArchscopeError:
    """The refusal of an input, with one that the network takes where that can be known.

    Args:
        refusal: what `failure` made of `error`.
        module: a copy of it is run.
        given: the input it failed on.
        error: what it raised.
    """
    if refusal.remedy != TAKES_INPUT:
        return refusal
    if not given.tensors:
        remedy = "give a tensor, or a shape with its batch such as (1, 3, 224, 224)"
        return type(refusal)(parameter("input"), "holds no tensor", remedy)
    remedy = _shorter(error) or _usual_image(module, given, error) or refusal.remedy
    return type(refusal)(refusal.argument, refusal.problem, remedy)


def _shorter(error: BaseException) -> str:
    """How many positions a network has, where it looked up one more than that."""
    found = _TOO_FAR.search(str(error))
    if found is None or int(found[1]) < int(found[2]):
        return ""
    return f"shorten it: {place_of(error)} has {plural(int(found[2]), 'position')}"


_TOO_FAR = re.compile(r"index (-?\d+) is out of range for a table of (\d+) rows")


def _usual_image(module: nn.Module, given: InputSpec, error: BaseException) -> str:
    """An image that the network takes; empty where the input is none, or no usual one fits."""
    shapes = given.sample_shapes
    if len(shapes) != 1 or len(shapes[0]) not in (2, 3):
        return ""
    image = shapes[0] if len(shapes[0]) == 3 else (given.batch, *shapes[0])  # (1, 28, 28)
    layer = getattr(getattr(error, "archscope_call", None), "module", None)
    channels, side = getattr(layer, "in_channels", image[0]), image[1]
    if not (isinstance(channels, int) and isinstance(side, int)):
        return ""
    found = fitting_image(module, channels, side)
    return f"did you mean {parameter('input', found)}?" if found else ""


TAKES_INPUT = "check that the network takes this input"
CORRECT = "correct the code there"
TRAINS = "check that it trains, or count the forward pass alone"


def blames_the_user(refusal: ArchscopeError, error: BaseException) -> bool:
    """Whether a failure is put on the network or its input without anything that shows it.

    Args:
        refusal: what is said of it.
        error: what the run raised.
    """
    return refusal.remedy in (TAKES_INPUT, TRAINS, CORRECT) and not channels_refused(error)


def _faulty_code(error: BaseException) -> str:
    """File and line of an error that no input explains, `nets.py, line 7`; empty for others."""
    from torch import nn

    own = isinstance(error, AttributeError) and isinstance(error.obj, nn.Module)
    if not (own or isinstance(error, (NameError, ImportError, SyntaxError))):
        return ""
    places = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_TORCH, _ARCHSCOPE, "<"))
    ]
    return places[-1] if places else ""


def untried(refusal: ArchscopeError) -> ArchscopeError:
    """What is said where nobody knows whether PyTorch runs the call."""
    kind = type(refusal)
    remedy = "give the network with its weights, so that archscope can try the call in PyTorch"
    return kind(refusal.argument, f"{refusal.problem} (counted without weights)", remedy)


def limit(name: str, error: BaseException) -> ArchscopeError:
    """What is said of a network that PyTorch runs and archscope cannot count."""
    where = "" if place_of(error) == NOWHERE else f"in {place_of(error)}, "
    return ArchscopeError(
        name,
        f"runs in PyTorch and cannot be counted: {where}{_reason(error)}",
        "count one of its modules, or report this with the network's code",
    )


def one_sample(given: InputSpec, error: BaseException) -> bool:
    """Whether batch normalisation was to train on the single value that one sample has."""
    return given.batch == 1 and "Expected more than 1 value per channel" in str(error)


def one_sample_failure(name: str, place: str) -> ArchscopeError:
    """What `one_sample` found, with the batch that does.

    Args:
        name: the network's.
        place: of the normalisation, as `place_of` tells it.
    """
    return ArchscopeError(
        parameter("batch", 1),
        f"{name} cannot train on one sample, since {place} would normalise one value a channel",
        f"use {parameter('batch', 2)}",
    )


_SPEAKING = (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError)
"""Exceptions whose text is a sentence; that of others, such as a KeyError's, needs the class."""


def _reason(error: BaseException) -> str:
    """The first line of an exception, with its class where the text alone says little."""
    kind, text = type(error), first_line(error)
    return text if kind in _SPEAKING or text == kind.__name__ else f"{kind.__name__}: {text}"


def in_backward(error: BaseException) -> bool:
    """Whether the backward pass raised it, and the forward pass went well.

    A network may call `backward` in its own `forward` too.
    """
    import torch

    place = error.__traceback__
    while place is not None:
        code = place.tb_frame.f_code
        if code is torch.autograd.backward.__code__:
            return True
        if code is torch.nn.Module._call_impl.__code__:
            return False
        place = place.tb_next
    return False


_NO_FORMULA = re.compile(r"backward through (\w+)(?:\.|::)(\w+)\S* but no autograd formula")
"""What PyTorch says of an operator of `torch.library` without `register_autograd`."""


def _backward_failure(name: str, error: BaseException) -> BackwardError:
    if _makes_sparse(error):
        return BackwardError(
            name,
            "makes a sparse gradient, whose work depends on the values it holds",
            "build its embeddings with sparse=False, or count the forward pass alone",
        )
    operator = _NO_FORMULA.search(str(error))
    if operator is not None:
        return BackwardError(
            name,
            f"has no gradient of its operator {operator[1]}::{operator[2]}",
            "register one with torch.library.register_autograd, or count the forward pass alone",
        )
    return BackwardError(
        name,
        f"fails in its backward pass: {_reason(error)}",
        TRAINS,
    )


_CHANNELS = (("in_channels", 1), ("num_features", 1), ("in_features", -1))
"""Constructor facts that fix a side of the input, and which side."""


def channels_refused(error: BaseException) -> str:
    """What the failing layer takes and what it was given, where that is why it failed."""
    call = getattr(error, "archscope_call", None)
    if call is None or not call.input_shapes:
        return ""
    shape = call.input_shapes[0]
    for fact, side in _CHANNELS:
        wanted = getattr(call.module, fact, None)
        if isinstance(wanted, int) and len(shape) > 1 and shape[side] != wanted:
            noun = "feature" if side == -1 else "channel"
            return f"it takes {plural(wanted, noun)} and was given {'×'.join(map(str, shape))}"
    return ""
