"""A network that cannot be counted says so in one line: where, why, and what to do instead."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.ask.network.failure import depends_on_values
from archscope.cli import run
from tests.analysis.test_borrow import portrait, same
from tests.networks import tripling


def refusal(network: Any, input: Any = "4", **options: Any) -> str:
    with pytest.raises(archscope.ArchscopeError) as caught:
        archscope.summary(network, input, **options)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# Sparse tensors


def sparse(layout: torch.layout) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls some of its sparse layouts beta
        return torch.eye(4).to_sparse(layout=layout)


class Neighbours(nn.Module):
    """A layer of a graph network: each node takes the mean of its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, adjacency: Tensor, x: Tensor) -> Tensor:
        y: Tensor = self.fc(adjacency @ x)
        return y


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr], ids=str)
def test_a_sparse_input_counts_by_what_it_stores(layout: torch.layout) -> None:
    x = torch.zeros(4, 4)
    counted = archscope.summary(Neighbours(), (sparse(layout), x))
    assert counted.total.macs == 4 * 4 + 4 * 4 * 3  # the identity stores four elements
    dense = archscope.summary(Neighbours(), (sparse(layout).to_dense(), x))
    assert dense.total.macs == 4 * 4 * 4 + 4 * 4 * 3


def test_a_sparse_tensor_of_the_network_counts_by_what_it_stores() -> None:
    class Graph(nn.Module):
        def __init__(self, keep: Callable[[nn.Module, Tensor], None]) -> None:
            super().__init__()
            self.inner = Neighbours()
            keep(self.inner, sparse(torch.sparse_coo))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.inner(self.inner.adjacency, x)
            return y

    for keep in (
        lambda part, a: part.register_buffer("adjacency", a),
        lambda part, a: part.register_parameter("adjacency", nn.Parameter(a)),
        lambda part, a: setattr(part, "adjacency", a),
    ):
        network = Graph(keep)
        assert archscope.summary(network, (torch.zeros(4, 4),)).total.macs == 4 * 4 + 4 * 4 * 3
        assert network.inner.adjacency.is_sparse


def test_what_a_tensor_made_sparse_on_the_way_stores_is_taken_from_a_cpu_run() -> None:
    class Sparsifies(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sparse.mm(x.to_sparse(), 2 * x)

    analysis = archscope.summary(nn.Sequential(Sparsifies()), (torch.eye(4),)).analysis
    assert analysis.executed_on == "cpu"
    assert analysis.total.macs == 4 * 4


# Modules that hold themselves


class Child(nn.Module):
    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x)
        return y


class Parent(nn.Module):
    def __init__(self, wrapped: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.child = Child(wrapped(self))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.child(x)
        return y


def test_a_module_that_holds_itself_is_told_how_not_to() -> None:
    itself = Child(None)
    itself.me = itself
    assert "Child: me is a module that holds it in turn" in refusal(itself)
    assert "Parent: child.parent is a module" in refusal(Parent(lambda parent: parent))
    assert archscope.summary(Parent(lambda parent: [parent]), "4").total.macs == 16


def test_a_module_held_twice_side_by_side_is_no_loop() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(shared, nn.Sequential(shared), nn.Sequential(nn.Sequential(shared)))
    assert archscope.summary(network, "4").total.macs == 3 * 16


# Networks that end the program


class Exits(nn.Module):
    def __init__(self, error: type[BaseException] = SystemExit) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        self.fc(x)
        raise self.error(3)


class NeverBuilt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sys.exit("no data")


def test_a_network_that_ends_the_program_does_not_end_the_caller_s() -> None:
    network = Exits()
    before = portrait(network)
    assert "Exits: its code ends the program (SystemExit: 3)" in refusal(network)
    assert same(before, portrait(network))
    assert "SystemExit: no data" in refusal(NeverBuilt)
    with pytest.raises(archscope.ArchscopeError, match="ends the program"):
        archscope.memory(network, "4")
    with pytest.raises(archscope.ArchscopeError, match="ends the program"):
        archscope.formula(network, "4")


def test_control_c_is_the_user_s_own() -> None:
    with pytest.raises(KeyboardInterrupt):
        archscope.summary(Exits(KeyboardInterrupt), "4")


@pytest.mark.parametrize("name", ["Exits", "NeverBuilt"])
@pytest.mark.parametrize("command", ["summary", "profile", "signal"])
def test_the_command_line_says_who_ended_the_program(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "import sys\nfrom torch import nn\n"
        "class Exits(nn.Linear):\n"
        "    def __init__(self): super().__init__(4, 4)\n"
        "    def forward(self, x): sys.exit(3)\n"
        "class NeverBuilt(nn.Linear):\n"
        "    def __init__(self): sys.exit(3)\n"
    )
    assert run([command, f"{file}:{name}", "--input", "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "SystemExit: 3" in line


# Backward passes


@torch.library.custom_op("archscope_tests::tripled", mutates_args=())
def tripled(x: Tensor) -> Tensor:
    return x * 3


tripled.register_fake(torch.empty_like)


@torch.library.custom_op("archscope_tests::quadrupled", mutates_args=())
def quadrupled(x: Tensor) -> Tensor:
    return x * 4


class After(nn.Module):
    """A layer, and a function of its result."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.fc(x))


def test_an_operator_without_a_gradient_is_named_with_its_remedy() -> None:
    network = After(tripled)
    assert archscope.summary(network, "4").total.macs == 16
    text = refusal(network, backward=True)
    assert "After: has no gradient of its operator archscope_tests::tripled" in text
    assert "torch.library.register_autograd" in text
    assert "takes this input" not in text
    assert "16" in str(archscope.explain(network, input="4"))  # which goes without a backward pass


def test_an_operator_without_a_meta_kernel_runs_on_the_cpu() -> None:
    counted = archscope.summary(After(quadrupled), "4")
    assert counted.analysis.executed_on == "cpu"
    assert counted.coverage.unknown == {"archscope_tests::quadrupled": 1}


def overwritten(x: Tensor) -> Tensor:
    y = x.exp()  # its gradient needs the result, which is overwritten
    return y * 2 + y.add_(1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.special.gammainc(x, torch.ones(4)), "'igamma: input' is not implemented"),
        (overwritten, "modified by an inplace operation"),
    ],
    ids=["no derivative", "overwritten"],
)
def test_a_failing_backward_pass_is_not_blamed_on_the_input(
    function: Callable[[Tensor], Tensor], reason: str
) -> None:
    text = refusal(After(function), backward=True)
    assert text.startswith("After: fails in its backward pass: ")
    assert reason in text and text.endswith("or count the forward pass alone")


class Frozen(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.requires_grad_(False)


@pytest.mark.parametrize(
    "command", ["memory {}", "summary {} --train", "signal {} --batch 1", "memory {} --batch 1"]
)
def test_normalisation_of_one_sample_asks_for_two(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a student's classifier has it: the maps are flat where they are normalised."""
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))\n"
    )
    model = f"{tmp_path / 'nets.py'}:Net"
    given = [*command.format(model).split(), "--input", "4"]
    assert run(given) == 2
    told = capsys.readouterr().err
    assert "cannot train on one sample" in told and told.endswith("; use --batch 2\n")
    assert run([*given, "--batch", "2"]) == 0


def test_a_sparse_gradient_has_the_memory_of_its_rows() -> None:
    network = nn.Embedding(40, 4, sparse=True)
    assert archscope.summary(network, "3:int64", backward=True).total.params == 160
    record = archscope.memory(network, "3:int64").record
    assert max(moment.gradients for moment in record.timeline) == 3 * 8 + 3 * 4 * 4


def test_side_by_side_a_network_without_a_backward_pass_is_counted_forward() -> None:
    """16 MACs forward; backward 16 more for the weight's gradient, as the input needs none."""
    text = str(archscope.compare(Frozen, nn.Linear(4, 4), After(tripled), input="4"))
    assert "Frozen: No backward pass is counted: it has no output that needs a gradient." in text
    assert "After: No backward pass is counted: it has no gradient of its operator" in text
    row = next(line for line in text.splitlines() if line.startswith("MACs with backward"))
    assert row.split()[3:] == ["–", "32", "–", "–", "–"]


def test_groups_are_swept_where_nothing_needs_a_gradient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\n"
        "class Frozen(nn.Conv2d):\n"
        "    def __init__(self, width=4, groups=1):\n"
        "        super().__init__(8, 8 * width, 3, groups=groups)\n"
        "        self.requires_grad_(False)\n"
    )
    base = f"{tmp_path}/nets.py:Frozen"
    given = ["sweep-groups", "1,2", "--base", base, "--by", "width", "--input", "8x8x8"]
    assert run([*given, "--equal", "none"]) == 0
    printed = capsys.readouterr()
    assert "1,184" in printed.out and printed.err == ""  # 32·4·3·3 weights and 32 biases


def test_a_network_without_a_gradient_is_explained_without_a_backward_pass() -> None:
    text = refusal(nn.ReLU(), backward=True)
    assert (
        "ReLU: has no output that needs a gradient" in text
        and "see that it has trainable parameters" in text
    )
    assert "unfreeze" not in text  # there is nothing to unfreeze
    assert "Elementwise" in str(archscope.explain(nn.ReLU(), input="4"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("boom"), "KeyError: 'boom'"),
        (IndexError("7"), "IndexError: 7"),
        (KeyError(), "KeyError; "),
        (RuntimeError("boom"), "Raising: boom"),
    ],
)
def test_an_exception_keeps_its_class_where_its_text_says_little(
    error: Exception, told: str
) -> None:
    class Raising(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    assert told in refusal(Raising())


def test_torch_s_advice_to_the_author_of_an_operator_is_not_repeated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Warnings are errors here, so the first run would raise without this."""
    (tmp_path / "op.py").write_text(tripling("failure_tests_advice"))
    budget = tmp_path / "budget.toml"
    budget.write_text('[[budget]]\nmodel = "op.py:Tripling"\ninput = "4"\nmax_memory = "2GiB"\n')
    assert run(["verify", f"{tmp_path}/op.py:Tripling", "--input", "4"]) == 0
    named = ["--model", f"{tmp_path}/op.py:Tripling"]
    assert run(["check", str(budget), *named]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("Tensor.item() cannot be called on meta tensors", True),
        ("Tensor on device cpu is not on the expected device meta!", True),
        ("can't convert meta device type tensor to numpy.", True),
        ("cannot pin 'MetaFloatType' only dense CPU tensors can be pinned", True),
        ("Error(s) in loading state_dict for MetaFormer", False),
        ("size mismatch for meta.weight", False),
        ("size mismatch for head.meta.weight", False),
    ],
)
def test_a_class_or_a_layer_called_meta_is_not_the_meta_device(text: str, needed: bool) -> None:
    """The texts of the first kind are PyTorch's own (2.14)."""
    assert depends_on_values(RuntimeError(text)) == needed


# Whose fault it is


class WhereItIs(nn.Linear):
    """Takes its other way without memory, by what no tensor of a count can hide."""

    def forward(self, x: Tensor) -> Tensor:
        if "Meta" in torch._C._dispatch_key_set(x):
            raise ValueError("no memory")
        return super().forward(x)


class Generates(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        yield super().forward(x)


class Refuses(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no such input")


def test_the_user_is_blamed_only_where_pytorch_fails_too() -> None:
    analysis = archscope.summary(WhereItIs(4, 4), "4").analysis
    assert (analysis.total.macs, analysis.executed_on) == (16, "cpu")
    assert "WhereItIs runs only with weights (no memory)" in " ".join(analysis.notes)
    assert refusal(Generates(4, 4)).startswith(
        "Generates: runs in PyTorch and cannot be counted: it returns a generator"
    )
    assert refusal(Refuses(4, 4)).endswith("no such input; check that the network takes this input")


def test_without_weights_nobody_is_blamed() -> None:
    text = refusal(Refuses(4, 4).to("meta"))
    assert "takes this input" not in text
    assert "give the network with its weights" in text


class Faulty(nn.Module):
    def forward(self, x):
        return undefined(x)  # noqa: F821


class Keyed(nn.Module):
    def forward(self, batch):
        return batch["x"] + batch["y"]


class OfTwo(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Faulty(), r"^Faulty: fails at test_failure.py, line \d+: NameError.*; correct the code"),
        (Keyed(), r"its forward takes a dictionary; .*batch\.x=…,batch\.y=…"),
        (OfTwo(), "give one like input='x=8,y=…'"),
        (nn.Sequential(nn.Embedding(9, 2)), "did you mean input='8:int64'"),
    ],
)
def test_the_remedy_is_that_of_the_cause(network, message):
    with pytest.raises(archscope.ArchscopeError, match=message):
        archscope.summary(network, "8")


class Positions(nn.Module):
    """Looks up as many rows of a table of 16 as its input is long, from one on."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.first = first
        self.table = nn.Embedding(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        ends = self.first, self.first + x.shape[1]
        return x + self.table(torch.arange(*ends, device=x.device))


def test_more_positions_than_a_table_has_fail_as_they_do_in_pytorch() -> None:
    for first, fits, last in ((0, 16, 16), (3, 13, 16), (-1, 16, -1)):
        network = Positions(first)
        if first >= 0:
            assert archscope.summary(network, f"{fits}x4").total.params == 16 * 4
            assert network(torch.zeros(1, fits, 4)).shape == (1, fits, 4)
        longer = fits + (first >= 0)
        with pytest.raises(IndexError):
            network(torch.zeros(1, longer, 4))
        said = refusal(network, f"{longer}x4")
        assert f"index {last} is out of range for a table of 16 rows" in said
        assert said.endswith("table (Embedding) has 16 positions") == (last == 16)


def test_a_shape_without_its_batch_is_proposed_as_an_image() -> None:
    digits = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Linear(2 * 24 * 24, 10))
    assert "did you mean input='1x28x28'?" in refusal(digits, (1, 28, 28))


def test_a_number_is_no_input() -> None:
    assert refusal(nn.Conv2d(1, 2, 3), 28).startswith("input: holds no tensor; give a tensor, or")
