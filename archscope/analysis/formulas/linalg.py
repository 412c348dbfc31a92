"""Factorisations and solutions of linear systems: the multiply-accumulates of the textbook.

Sums are written out exactly, by the algorithms of Golub and Van Loan (Matrix Computations, 4th
edition): elimination (3.2), Cholesky (4.2), Householder QR (5.2).
Eigenvalues and singular values are found by iteration; the figures are the averages that the book
gives for square matrices (7.5, 8.3) and for the singular values (8.6), and no kernel is
promised to need as many.
"""

from __future__ import annotations

from math import prod
from typing import Any

from archscope.analysis.ops import Sized, Tally
from archscope.records import Cost, Factor, Product


def _eliminated(rows: int, columns: int) -> int:
    """Σ (rows − k)(columns − k): what each pivot subtracts from the rest of the matrix."""
    steps = min(rows, columns)
    squares = steps * (steps + 1) * (2 * steps + 1) // 6
    return steps * rows * columns - (rows + columns) * steps * (steps + 1) // 2 + squares


def _substituted(side: int, columns: int) -> int:
    """A triangular system: row k meets the k − 1 unknowns before it."""
    return side * (side - 1) // 2 * columns


def _cholesky(side: int) -> int:
    """Half of the elimination of a symmetric matrix."""
    return (side - 1) * side * (side + 1) // 6


def _reflected(rows: int, columns: int, reflectors: int) -> int:
    """Σ 2 (rows − k + 1)(columns − k): each reflector meets the columns that follow, twice."""
    steps = min(rows, columns, reflectors)
    return sum(2 * (rows - k + 1) * (columns - k) for k in range(1, steps + 1))


def _tally(matrix: Sized, what: str, one: int, out: Any) -> Tally:
    """The same work for every matrix of a batch."""
    product = Product((Factor("B", prod(matrix.shape[:-2])), Factor(what, one)), what)
    first = out[0] if isinstance(out, (tuple, list)) else out
    return Tally(Cost((product,)), first.numel())


def lu(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Elimination with pivots; a determinant is the product of its diagonal."""
    return _tally(a, "elimination", _eliminated(a.shape[-2], a.shape[-1]), out)


def cholesky(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """A symmetric matrix as L·Lᵀ."""
    return _tally(a, "Cholesky", _cholesky(a.shape[-1]), out)


def solve(a: Sized, b: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Elimination, then two triangular systems."""
    side, columns = a.shape[-1], _columns(a, b)
    return _tally(a, "solution", _eliminated(side, side) + 2 * _substituted(side, columns), out)


def inverse(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """As `solve` for the columns of the identity."""
    side = a.shape[-1]
    return _tally(a, "inverse", _eliminated(side, side) + 2 * _substituted(side, side), out)


def solve_triangular(a: Sized, b: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """One triangular system a column of b (from the left) or a row of it (from the right)."""
    matrices = b if prod(b.shape[:-2]) >= prod(a.shape[:-2]) else a
    columns = b.numel() // (a.shape[-1] * max(1, prod(b.shape[:-2])))
    return _tally(matrices, "substitution", _substituted(a.shape[-1], columns), out)


def triangular_solve(b: Sized, a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """As `solve_triangular`, operands the other way round."""
    return solve_triangular(a, b, out=out)


def solve_factored(b: Sized, factor: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Two triangular systems, of a factor that was found before, for the columns of b."""
    return _tally(factor, "substitution", 2 * _substituted(factor.shape[-1], b.shape[-1]), out)


def solve_factored_first(
    factor: Sized, pivots: Sized, b: Sized, *rest: Any, out: Any, **options: Any
) -> Tally:
    """As `solve_factored`, the factor given first."""
    return solve_factored(b, factor, out=out)


def inverse_of_cholesky(factor: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """The inverse of L·Lᵀ: of L, then of the product, half of each."""
    return _tally(factor, "inverse", 2 * _cholesky(factor.shape[-1]), out)


def householder(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """R and the reflectors."""
    rows, columns = a.shape[-2:]
    return _tally(a, "reflections", _reflected(rows, columns, columns), out)


def qr(a: Sized, mode: str = "reduced", *, out: Any, **options: Any) -> Tally:
    """R, and Q from its reflectors unless `mode` is `r`."""
    rows, columns = a.shape[-2:]
    work = _reflected(rows, columns, columns)
    if mode != "r":
        work += _reflected(rows, out[0].shape[-1], min(rows, columns))
    return _tally(a, "reflections", work, out)


def householder_product(a: Sized, tau: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Q from reflectors."""
    return _tally(a, "reflections", _reflected(a.shape[-2], a.shape[-1], tau.shape[-1]), out)


def reflect(a: Sized, tau: Sized, other: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Q, as its reflectors, by another matrix: 2 (rows − k + 1) for each of its columns."""
    steps, rows = tau.shape[-1], a.shape[-2]
    columns = other.numel() // max(1, prod(other.shape[:-2]) * rows)
    work = sum(2 * (rows - k + 1) for k in range(1, steps + 1)) * columns
    return _tally(a, "reflections", work, out)


def least_squares(a: Sized, b: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """QR, Qᵀ by the right side, and a triangular system."""
    rows, columns, wanted = a.shape[-2], a.shape[-1], _columns(a, b)
    steps = min(rows, columns)
    reflections = sum(2 * (rows - k + 1) for k in range(1, steps + 1)) * wanted
    work = _reflected(rows, columns, columns) + reflections + _substituted(steps, wanted)
    return _tally(a, "least squares", work, out)


def symmetric_eigenvalues(
    a: Sized, uplo: str = "L", compute_v: bool = True, *, out: Any, **options: Any
) -> Tally:
    """2/3 n³ for the values, 9/2 n³ with their vectors, by tridiagonal QR on average."""
    cube = a.shape[-1] ** 3
    return _tally(a, "eigenvectors", 9 * cube // 2 if compute_v else 2 * cube // 3, out)


def eigenvalues(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """5 n³ for the values, 25/2 n³ with their vectors, by the Hessenberg QR on average."""
    cube, vectors = a.shape[-1] ** 3, isinstance(out, (tuple, list))
    return _tally(a, "eigenvectors", 25 * cube // 2 if vectors else 5 * cube, out)


def singular_values(
    a: Sized, full_matrices: bool = False, compute_uv: bool = True, *, out: Any, **options: Any
) -> Tally:
    """2 m n² − 2/3 n³ for the values, 7 m n² + 4 n³ with both sides' vectors, m ≥ n."""
    short, long = sorted(a.shape[-2:])
    return _tally(a, "singular values", _decomposed(long, short, compute_uv), out)


def _decomposed(long: int, short: int, vectors: bool) -> int:
    if vectors:
        return 7 * long * short**2 + 4 * short**3
    return 2 * long * short**2 - 2 * short**3 // 3


def pseudo_inverse(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """The singular values with their vectors, and the product of the two sides."""
    short, long = sorted(a.shape[-2:])
    return _tally(a, "pseudo-inverse", _decomposed(long, short, True) + long * short**2, out)


def exponential(a: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """Five products of the Taylor polynomial of degree 18 (Bader, Blanes and Casas 2019).

    A matrix of small norm needs fewer, one of large norm a squaring more for each doubling.
    """
    return _tally(a, "five products", 5 * a.shape[-1] ** 3, out)


def _columns(a: Sized, b: Sized) -> int:
    """Right sides of a system: a vector a matrix where b has one axis less."""
    return 1 if len(b.shape) == len(a.shape) - 1 or len(b.shape) == 1 else b.shape[-1]
