"""Formulas of rarer operators, at the public function, against arithmetic done by hand."""

from math import log2
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archscope
from archscope.analysis import rules

OPERATORS = Path(rules.__file__).with_name("operators")


class Apply(nn.Module):
    """A function as a network; what it keeps stays a constant."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def counted(function, *args, **options):
    summary = archscope.summary(Apply(function), args, **options)
    assert summary.coverage.complete, summary.coverage.unknown
    return summary.total


def layer(summary, name):
    return next(call for call in summary.analysis.calls if call.name == name)


def macs(function, *args):
    return counted(function, *args).macs


A, B = torch.eye(4).expand(2, 4, 4) + torch.zeros(2, 4, 4), torch.randn(2, 4, 3)

# Of each 4×4 matrix: elimination subtracts 3·3 + 2·2 + 1·1 = 14 times; one triangular system has
# 0 + 1 + 2 + 3 = 6 products a column; Cholesky 1·2/2 + 2·3/2 + 3·4/2 = 10.
# A reflector of length l meets c columns in 2·l·c: 2·4·3 + 2·3·2 + 2·2·1 = 40 for R, and for Q.
LINEAR_ALGEBRA = [
    (lambda a: torch.linalg.det(a), 2 * 14),
    (lambda a: torch.linalg.slogdet(a)[1], 2 * 14),
    (lambda a: torch.linalg.lu(a)[1], 2 * 14),
    (lambda a: torch.linalg.lu_factor(a)[0], 2 * 14),
    (lambda a: torch.linalg.inv(a), 2 * (14 + 2 * 6 * 4)),
    (lambda a: torch.linalg.solve(a, B.to(a.device)), 2 * (14 + 2 * 6 * 3)),
    (lambda a: torch.linalg.solve(a, B[..., 0].to(a.device)), 2 * (14 + 2 * 6)),
    (lambda a: torch.linalg.solve_triangular(a, B.to(a.device), upper=True), 2 * 6 * 3),
    (lambda a: torch.linalg.cholesky(a), 2 * 10),
    (lambda a: torch.cholesky_solve(B.to(a.device), a), 2 * 2 * 6 * 3),
    (lambda a: torch.linalg.qr(a)[0], 2 * (40 + 40)),
    (lambda a: torch.linalg.qr(a, mode="r")[1], 2 * 40),
    # QR, then 2·(4 + 3 + 2 + 1) products for each of 3 right sides, then a triangular system
    (lambda a: torch.linalg.lstsq(a, B.to(a.device))[0], 2 * (40 + 3 * 20 + 6 * 3)),
    # averages of the textbook, in n³ = 64: 9/2 and 25/2, and 7 + 4 for both sides' vectors
    (lambda a: torch.linalg.eigh(a)[0], 2 * 288),
    (lambda a: torch.linalg.eig(a)[0], 2 * 800),
    (lambda a: torch.linalg.svd(a)[1], 2 * 11 * 64),
    (lambda a: torch.linalg.pinv(a), 2 * 12 * 64),
    (lambda a: torch.linalg.matrix_exp(a), 2 * 5 * 64),
    (lambda a: torch.linalg.multi_dot([a[0], a[0], a[0]]), 2 * 64),
    (lambda a: torch.linalg.matrix_power(a, 5), 2 * 3 * 64),  # a², a⁴, a⁴·a
]


def test_the_gradients_of_a_linear_system_take_its_factors_the_other_way_round():
    class System(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.eye(4))

        def forward(self, x):
            return torch.linalg.solve(self.matrix, x)

    total = archscope.summary(System(), torch.ones(4, 3), backward=True).total
    assert total.macs == 14 + 2 * 6 * 3
    assert total.macs_backward == 2 * 6 * 3 + 4 * 4 * 3  # the right side's, then an outer product


@pytest.mark.parametrize(("function", "right"), LINEAR_ALGEBRA)
def test_linear_algebra(function, right):
    assert macs(function, A) == right


# 5 N log₂ N operations of N complex values, half of it for real ones; two are one MAC.
@pytest.mark.parametrize(
    ("function", "right"),
    [
        (lambda x: torch.fft.rfft(x), 4 * 8 * 2.5 * 16 * 4 / 2),
        (lambda x: torch.fft.fft(x.to(torch.complex64)), 4 * 8 * 5 * 16 * 4 / 2),
        (lambda x: torch.fft.rfft2(x), 4 * 2.5 * 128 * 7 / 2),
        (lambda x: torch.fft.irfft(torch.fft.rfft(x)), 2 * 4 * 8 * 2.5 * 16 * 4 / 2),
        (lambda x: torch.fft.rfft(x[..., :12]), 4 * 8 * round(2.5 * 12 * log2(12) / 2)),
    ],
)
def test_fourier_transforms(function, right):
    assert macs(function, torch.randn(4, 8, 16)) == right


def test_a_complex_product_is_four_real_ones():
    x, w = torch.randn(3, 8, dtype=torch.complex64), torch.randn(8, 5, dtype=torch.complex64)
    assert macs(torch.mm, x, w) == 4 * 3 * 8 * 5
    assert macs(F.linear, x, w.mT) == 4 * 3 * 8 * 5
    said = str(archscope.summary(Apply(torch.mm), (x, w)))
    assert "complex product counts as four real ones" in " ".join(said.split())
    assert "complex" not in str(archscope.summary(Apply(torch.mm), (x.real, w.real)))


PATTERN = torch.eye(6)
PATTERN[0, 3] = PATTERN[5, 1] = 1  # 8 stored elements


@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_sparse_products_count_what_is_stored(layout):
    sparse = getattr(PATTERN, f"to_sparse_{layout}")()
    x = torch.randn(6, 4)
    assert macs(lambda x: sparse @ (2 * x), x) == 8 * 4
    assert macs(lambda x: torch.mv(sparse, x[:, 0] + 1), x) == 8
    if layout != "csc":
        assert macs(lambda x: torch.addmm(x + 1, sparse, x + 1), x) == 8 * 4
        assert macs(lambda x: torch.sparse.mm(sparse, 2 * x), x) == 8 * 4


@pytest.mark.parametrize("shape", [(7, 4), (1, 6, 4)])
def test_a_sparse_product_of_shapes_that_do_not_fit_is_refused(shape):
    sparse = PATTERN.to_sparse()
    with pytest.raises(RuntimeError):
        torch.sparse.mm(sparse, torch.randn(shape))
    with pytest.raises(archscope.ArchscopeError, match="check that the network takes this input"):
        macs(lambda x: torch.sparse.mm(sparse, 2 * x), torch.randn(shape))


@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
def test_stored_blocks_count_in_full():
    sparse = PATTERN.to_sparse_bsr((2, 2))  # three blocks on the diagonal, and two others
    assert macs(lambda x: sparse @ (2 * x), torch.randn(6, 4)) == 5 * 4 * 4


@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
def test_bytes_of_a_sparse_operand_are_its_indices_and_values():
    sparse = PATTERN.to_sparse_csr()
    work = archscope.summary(Apply(lambda x: sparse @ (2 * x)), (torch.randn(6, 4),)).analysis
    doubled, product = 2 * 96, 7 * 8 + 8 * 8 + 8 * 4 + 96 + 96
    moved = work.calls[0].forward.bytes_moved
    assert moved == doubled + product


@pytest.mark.parametrize("needs_values", [False, True])
def test_rms_norm_is_one_operation_an_element(needs_values):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.RMSNorm(16)

        def forward(self, x):
            if needs_values:
                float(x[0, 0])
            return self.norm(x)

    summary = archscope.summary(Net(), (torch.randn(4, 16),), backward=True)
    norm = layer(summary, "norm")
    assert norm.forward.elementwise == 4 * 16
    assert norm.activation_bytes == 4 * (4 * 16 + 4)  # the result, and a factor for each row
    assert norm.backward.elementwise == 4 * 16


def test_grouped_and_scaled_products():
    a, b = torch.randn(6, 16), torch.randn(3, 16, 8)
    ends = torch.tensor([2, 3, 6], dtype=torch.int32)
    assert macs(lambda a, b: F.grouped_mm(a, b, offs=ends), a, b) == 6 * 16 * 8
    int8 = torch.zeros(32, 16, dtype=torch.int8)
    assert macs(torch._int_mm, int8, int8.mT.contiguous()) == 32 * 16 * 32


def test_weights_of_eight_bits():
    weight, scales = torch.zeros(8, 16, dtype=torch.int8), torch.ones(8, dtype=torch.bfloat16)
    x = torch.randn(4, 16, dtype=torch.bfloat16)
    assert macs(lambda x: torch._weight_int8pack_mm(x, weight, scales), x) == 4 * 16 * 8


@pytest.mark.parametrize("needs_values", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("trained_input", [False, True])
def test_a_cpu_run_of_a_recurrent_layer_counts_as_meta_does(needs_values, layers, trained_input):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 8) if trained_input else nn.Identity()
            self.lstm = nn.LSTM(8, 16, num_layers=layers, bias=False)

        def forward(self, x):
            if needs_values:
                float(x[0, 0, 0])
            return self.lstm(self.first(x))[0]

    summary = archscope.summary(Net(), (torch.randn(5, 2, 8),), backward=True)
    total = layer(summary, "lstm")
    steps = 5 * 2 * 64
    forward = steps * (8 + 16) + (layers - 1) * steps * (16 + 16)
    # each product's two gradients, but none of an untrained input or of the first states
    less = steps * 8 * (not trained_input) + layers * 2 * 64 * 16
    assert (total.forward.macs, total.backward.macs) == (forward, 2 * forward - less)


@pytest.mark.parametrize("file", sorted(OPERATORS.glob("*.txt")), ids=lambda file: file.stem)
def test_the_lists_are_sorted_and_name_operators_of_pytorch(file):
    names = file.read_text("utf-8").splitlines()
    assert names == sorted(set(names))
    missing = [name for name in names if not hasattr(torch.ops.aten, name)]
    assert not missing


def test_no_operator_is_listed_twice():
    listed = [name for file in OPERATORS.glob("*.txt") for name in file.read_text("utf-8").split()]
    named = {name.removeprefix("aten::") for name in rules.COUNTED}
    assert len(listed) == len(set(listed))
    assert not named & set(listed)
