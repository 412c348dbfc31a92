"""Whole-number functions of a few sizes → closed forms, found from values at chosen sizes.

A function of one size is fitted as c·⌊(a·x + b)/s⌋ + d.
Its slope a·c/s follows from two distant values, c from the differences, and each further value
halves the interval of b.
A function of several sizes is fitted as a polynomial in such floors.
Every fit agrees with all values seen, and is held against values at sizes it has not seen.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archscope.analysis.closed_form.lines import Line, fit_line, solve
from archscope.analysis.closed_form.polynomial import Floor, Polynomial, product, total

Point = tuple[int, ...]
"""One value for each symbol, in the order of the symbols."""

NEAR_STEPS = (0, 1, 32, 33)
FRESH_POINTS = 3
ROUNDS = 16
QUERIES_A_ROUND = 24
WRONG_TOGETHER = 3


class NoClosedFormError(Exception):
    """The values follow no polynomial in floors that this fit knows.

    Args:
        index: of the first function without a form.
    """

    def __init__(self, index: int) -> None:
        super().__init__(f"function {index} has no closed form")
        self.index = index


@dataclass(frozen=True)
class Range:
    """Where a symbol is sampled.

    Args:
        base: a usual value, which stands while other symbols vary.
        far: a value so distant that slopes show.
        degree: the highest power in which it may occur.
    """

    symbol: str
    base: int
    far: int
    degree: int = 2


@dataclass(frozen=True)
class Fit:
    """Closed forms with the evidence.

    Args:
        forms: one a function, `None` where an optional one has none.
        verified: points that no fit had seen, at which all forms held.
    """

    forms: tuple[Polynomial | None, ...]
    verified: tuple[Point, ...]


def fit(
    observe: Callable[[Point], Sequence[int]],
    ranges: Sequence[Range],
    optional: Callable[[int], bool] = lambda index: False,
) -> Fit:
    """Find the closed forms of all functions that `observe` returns at a point.

    Args:
        observe: values of the functions, always equally many.
        ranges: of each symbol.
        optional: whether the function of an index may stay without a form.

    Raises:
        NoClosedFormError: a function that is not optional has no form.
    """
    return _Fitting(observe, ranges, optional).run()


class _Fitting:
    def __init__(
        self,
        observe: Callable[[Point], Sequence[int]],
        ranges: Sequence[Range],
        optional: Callable[[int], bool],
    ) -> None:
        self.observe = observe
        self.ranges = ranges
        self.optional = optional
        self.base: Point = tuple(r.base for r in ranges)
        self.seen: dict[Point, Sequence[int]] = {}
        self.random = random.Random(0)

    def run(self) -> Fit:
        for axis, where in enumerate(self.ranges):
            for value in _first_values(where):
                self._look(self._along(axis, value))
        for _ in range(ROUNDS):
            forms = self._settled_forms()
            fresh: list[Point] = []
            for _ in range(FRESH_POINTS):
                fresh.append(self._fresh_point(fresh))
            tested = [*self._edges(forms), *fresh]
            agreed = [self._agrees(forms, point) for point in tested]
            if all(agreed):
                self._refuse_missing(forms)
                return Fit(tuple(forms), tuple(fresh))
            for point in tested:
                for axis, value in enumerate(point):
                    self._look(self._along(axis, value))
            self._locate_last_steps(forms)
        confirmed = self._disproved(forms)
        self._refuse_missing(confirmed)
        return Fit(tuple(confirmed), tuple(fresh))

    def _look(self, point: Point) -> None:
        if point not in self.seen:
            self.seen[point] = self.observe(point)

    def _along(self, axis: int, value: int) -> Point:
        return (*self.base[:axis], value, *self.base[axis + 1 :])

    def _fresh_point(self, chosen: Sequence[Point]) -> Point:
        """Between base and far, not seen or chosen before where that is possible."""
        for _ in range(20):
            point = tuple(self.random.randint(r.base, r.far) for r in self.ranges)
            if point not in self.seen and point not in chosen:
                break
        return point

    def _edges(self, forms: Sequence[Polynomial | None]) -> list[Point]:
        """Points right before and at the first and last step of every floor.

        A floor with a wrong divisor may agree near the base, and drifts off on the way to them.
        """
        floors = {
            atom
            for form in set(forms)
            if form is not None
            for monomial in form.terms
            for atom in monomial
        }
        chosen: list[list[int]] = []
        for where in self.ranges:
            values: list[int] = []
            own = [atom for atom in floors if atom.symbol == where.symbol and atom.divisor > 1]
            for atom in sorted(own, key=lambda atom: -atom.divisor):
                if not any(_steps_at(atom, x) for x in values):
                    inside = range(where.base + 1, where.far + 1)
                    ends = (inside, reversed(inside))
                    steps = {next((x for x in end if _steps_at(atom, x)), None) for end in ends}
                    values += [x for step in steps if step for x in (step, step - 1)]
            chosen.append(values or [where.base])
        length = max(map(len, chosen))
        return [tuple(values[i % len(values)] for values in chosen) for i in range(length)]

    def _locate_last_steps(self, forms: Sequence[Polynomial | None]) -> None:
        """Find the last step of functions that were fitted wrong: it pins the slope down."""
        confirmed = self._disproved(forms)
        wrong = [i for i, form in enumerate(forms) if form is not None and confirmed[i] is None]
        for axis, where in enumerate(self.ranges):
            columns = {self.seen[self._along(axis, where.far)][i]: i for i in wrong}
            for index in list(columns.values())[:WRONG_TOGETHER]:
                low, high = where.base, where.far
                last = self.seen[self._along(axis, high)][index]
                while high - low > 1:
                    middle = (low + high) // 2
                    self._look(self._along(axis, middle))
                    if self.seen[self._along(axis, middle)][index] == last:
                        high = middle
                    else:
                        low = middle

    def _agrees(self, forms: Sequence[Polynomial | None], point: Point) -> bool:
        self._look(point)
        values = self._named(point)
        known: dict[Polynomial, int] = {}
        for form, actual in zip(forms, self.seen[point], strict=True):
            if form is None:
                continue
            if form not in known:
                known[form] = form.value(values)
            if known[form] != actual:
                return False
        return True

    def _disproved(self, forms: Sequence[Polynomial | None]) -> list[Polynomial | None]:
        """The forms, less those that some value contradicts."""
        return [
            form
            if form is not None
            and all(form.value(self._named(p)) == v[index] for p, v in self.seen.items())
            else None
            for index, form in enumerate(forms)
        ]

    def _refuse_missing(self, forms: Sequence[Polynomial | None]) -> None:
        for index, form in enumerate(forms):
            if form is None and not self.optional(index):
                raise NoClosedFormError(index)

    def _named(self, point: Point) -> dict[str, int]:
        return {where.symbol: value for where, value in zip(self.ranges, point, strict=True)}

    def _settled_forms(self) -> list[Polynomial | None]:
        """Fit everything, looking at more points while a fit asks for them."""
        for _ in range(QUERIES_A_ROUND):
            search = _Search(self.ranges, self.base, self.seen)
            forms = search.forms()
            wanted = [self._along(axis, value) for axis, value in search.wanted]
            wanted += self._grid(search.wanted_degree)
            wanted = [point for point in dict.fromkeys(wanted) if point not in self.seen]
            if not wanted:
                break
            for point in wanted:
                self._look(point)
        return forms

    def _grid(self, degree: int) -> list[Point]:
        """Points off every axis, enough for powers up to a degree of each symbol."""
        if not degree:
            return []
        axes = []
        for where in self.ranges:
            near = min(where.base + NEAR_STEPS[-1], (where.base + where.far) // 2)
            values = [where.base, where.far, near]
            axes.append(values[: 1 + min(degree, where.degree)])
        return list(itertools.product(*axes))


def _steps_at(atom: Floor, value: int) -> bool:
    return atom.value({atom.symbol: value}) != atom.value({atom.symbol: value - 1})


def _first_values(where: Range) -> list[int]:
    """Neighbours of the base, steps of usual strides, and the far end."""
    steps = (*NEAR_STEPS, where.far - where.base)
    return sorted({where.base + step for step in steps if where.base + step <= where.far})


class _Search:
    """One pass over all functions; equal columns of values are fitted once."""

    def __init__(
        self, ranges: Sequence[Range], base: Point, seen: Mapping[Point, Sequence[int]]
    ) -> None:
        self.ranges = ranges
        self.points = list(seen)
        self.columns = list(zip(*seen.values(), strict=True))
        self.lines = [
            [i for i, p in enumerate(self.points)
             if all(p[k] == base[k] for k in range(len(base)) if k != axis)]
            for axis in range(len(ranges))
        ]  # fmt: skip
        self.wanted: dict[tuple[int, int], None] = {}
        self.wanted_degree = 0
        self.line_fits: dict[object, Line | None] = {}
        self.atoms: list[dict[Polynomial, None]] = [{} for _ in ranges]
        self.atom_values: dict[Polynomial, list[int]] = {}

    def forms(self) -> list[Polynomial | None]:
        distinct = dict.fromkeys(self.columns)
        found: dict[tuple[int, ...], Polynomial | None] = {}
        several: list[tuple[tuple[int, ...], list[int]]] = []
        for column in distinct:
            axes = [
                axis
                for axis, line in enumerate(self.lines)
                if any(column[i] != column[line[0]] for i in line)
            ]
            form = self._single(column, axes[0]) if len(axes) == 1 else None
            if not axes and len(set(column)) == 1:
                found[column] = Polynomial.constant(column[0])
            elif form is not None:
                found[column] = form
            else:
                several.append((column, axes))
        for column, axes in several:
            found[column] = self._joint(column, axes)
        return [found[column] for column in self.columns]

    def _single(self, column: tuple[int, ...], axis: int) -> Polynomial | None:
        line = self._line(column, axis)
        if line is None:
            return None
        form = line.form(self.ranges[axis].symbol)
        if any(form.value(self._named(i)) != column[i] for i in range(len(column))):
            return None
        self.atoms[axis].setdefault(line.atom(self.ranges[axis].symbol))
        return form

    def _named(self, index: int) -> dict[str, int]:
        point = self.points[index]
        return {where.symbol: value for where, value in zip(self.ranges, point, strict=True)}

    def _line(self, column: tuple[int, ...], axis: int) -> Line | None:
        """The fit along one axis; what it is unsure of becomes a wanted point."""
        pairs = tuple((self.points[i][axis], column[i]) for i in self.lines[axis])
        key = (axis, pairs)
        if key not in self.line_fits:
            found = self.line_fits[key] = fit_line(pairs)
            if found is not None and found.query is not None:
                where = self.ranges[axis]
                value = where.base + (found.query - where.base) % found.divisor
                if value <= where.far:
                    self.wanted.setdefault((axis, value))
        return self.line_fits[key]

    def _joint(self, column: tuple[int, ...], axes: list[int]) -> Polynomial | None:
        """A polynomial in floors of several symbols, or of higher degree in one."""
        choices: list[list[Polynomial]] = []
        for axis in axes:
            line = self._line(column, axis)
            symbol = self.ranges[axis].symbol
            known = list(self.atoms[axis]) or [Polynomial.floor(symbol)]
            choices.append(known if line is None else [line.atom(symbol)])
        for chosen in itertools.product(*choices):
            single = self._multiple(column, chosen)
            if single is not None:
                return single
        for highest in (1, 2):
            self.wanted_degree = max(self.wanted_degree, highest)
            degrees = [min(highest, self.ranges[axis].degree) for axis in axes]
            for chosen in itertools.product(*choices):
                form = self._combination(column, chosen, degrees)
                if form is not None:
                    return form
        return None

    def _values(self, atom: Polynomial) -> list[int]:
        if atom not in self.atom_values:
            self.atom_values[atom] = [atom.value(self._named(i)) for i in range(len(self.points))]
        return self.atom_values[atom]

    def _multiple(self, column: tuple[int, ...], atoms: Sequence[Polynomial]) -> Polynomial | None:
        """An integer times the product of the atoms."""
        values = [self._values(atom) for atom in atoms]
        first = prod(v[0] for v in values)
        if not first or column[0] % first:
            return None
        ratio = column[0] // first
        for row, actual in enumerate(column):
            if ratio * prod(v[row] for v in values) != actual:
                return None
        return product([*atoms, Polynomial.constant(ratio)])

    def _combination(
        self, column: tuple[int, ...], atoms: Sequence[Polynomial], degrees: Sequence[int]
    ) -> Polynomial | None:
        """A sum over all products of the atoms' powers up to their degrees."""
        powers = list(itertools.product(*(range(degree + 1) for degree in degrees)))
        values = [self._values(atom) for atom in atoms]
        rows = [
            [prod(v[i] ** k for v, k in zip(values, power, strict=True)) for power in powers]
            for i in range(len(self.points))
        ]
        solved = solve(rows, column)
        if solved is None:
            return None
        return total(
            product([*(atom for atom, k in zip(atoms, power, strict=True) for _ in range(k)),
                     Polynomial.constant(coefficient)])
            for coefficient, power in zip(solved, powers, strict=True)
            if coefficient
        )  # fmt: skip
