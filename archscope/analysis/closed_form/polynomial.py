"""Closed forms: polynomials with integer coefficients in symbols and floors of symbols.

A size that a network computes from its input is a symbol, a constant, or a floor
⌊(a·H + b)/s⌋: floors of floors of integers compose into one (Graham, Knuth, Patashnik 1994,
equation 3.11), so a chain of strided layers stays in this form.
Costs are sums of products of such sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import gcd, lcm, prod


@dataclass(frozen=True, slots=True, order=True)
class Floor:
    """⌊(multiplier·symbol + offset)/divisor⌋; with a divisor of 1 the bare symbol.

    Args:
        symbol: name of a whole number from 1.
        multiplier: coprime to the divisor.
        offset: any whole number; 0 for the bare symbol.
        divisor: from 1.
    """

    symbol: str
    multiplier: int = 1
    offset: int = 0
    divisor: int = 1

    def value(self, values: Mapping[str, int]) -> int:
        return (self.multiplier * values[self.symbol] + self.offset) // self.divisor

    @property
    def numerator(self) -> str:
        """`H`, `3·H`, `H+1` or `3·H-2`."""
        text = self.symbol if self.multiplier == 1 else f"{self.multiplier}·{self.symbol}"
        return f"{text}{self.offset:+d}" if self.offset else text

    def __str__(self) -> str:
        if self.divisor == 1:
            return self.symbol
        inside = f"({self.numerator})" if self.offset else self.numerator
        return f"⌊{inside}/{self.divisor}⌋"


Monomial = tuple[Floor, ...]
"""A product of floors, sorted, each as often as its power."""


@dataclass(frozen=True)
class Polynomial:
    """A sum of integer multiples of monomials; no coefficient is zero."""

    terms: Mapping[Monomial, int] = field(default_factory=dict)

    @classmethod
    def constant(cls, value: int) -> Polynomial:
        return cls({(): value} if value else {})

    @classmethod
    def floor(
        cls, symbol: str, multiplier: int = 1, offset: int = 0, divisor: int = 1
    ) -> Polynomial:
        """⌊(multiplier·symbol + offset)/divisor⌋ in lowest terms."""
        common = gcd(multiplier, divisor)
        multiplier, divisor, offset = multiplier // common, divisor // common, offset // common
        if divisor == 1:
            return cls({(Floor(symbol),): multiplier}) + cls.constant(offset)
        return cls({(Floor(symbol, multiplier, offset, divisor),): 1})

    def __add__(self, other: Polynomial) -> Polynomial:
        return total((self, other))

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        factor = Polynomial.constant(other) if isinstance(other, int) else other
        terms: dict[Monomial, int] = {}
        for left, a in self.terms.items():
            for right, b in factor.terms.items():
                key = tuple(sorted((*left, *right)))
                terms[key] = terms.get(key, 0) + a * b
        return Polynomial({key: value for key, value in terms.items() if value})

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def value(self, values: Mapping[str, int]) -> int:
        """The number that this is where each symbol has a value."""
        return sum(
            coefficient * prod(atom.value(values) for atom in monomial)
            for monomial, coefficient in self.terms.items()
        )

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset(atom.symbol for monomial in self.terms for atom in monomial)

    @property
    def is_constant(self) -> bool:
        return not any(self.terms)

    def degree(self, symbols: Iterable[str]) -> int:
        """The highest power in these symbols taken together."""
        chosen = frozenset(symbols)
        return max(
            (sum(atom.symbol in chosen for atom in monomial) for monomial in self.terms), default=0
        )

    def above(self, degree: int, symbols: Iterable[str]) -> Polynomial:
        """The terms of a higher degree in these symbols taken together."""
        chosen = frozenset(symbols)
        return Polynomial(
            {
                monomial: coefficient
                for monomial, coefficient in self.terms.items()
                if sum(atom.symbol in chosen for atom in monomial) > degree
            }
        )

    def strides(self) -> dict[str, int]:
        """For each symbol, the least common multiple of the divisors under it."""
        found: dict[str, int] = {}
        for monomial in self.terms:
            for atom in monomial:
                found[atom.symbol] = lcm(found.get(atom.symbol, 1), atom.divisor)
        return found

    def at_multiples(self, multiples: Mapping[str, tuple[int, str]]) -> Polynomial:
        """Put `factor·name` in the place of symbols, such as 32·h for H, so that floors go.

        Args:
            multiples: symbol to (factor, name); a factor that its divisors divide.
        """

        def replaced(atom: Floor) -> Polynomial:
            factor, name = multiples.get(atom.symbol, (1, atom.symbol))
            return Polynomial.floor(name, atom.multiplier * factor, atom.offset, atom.divisor)

        return self._mapped(replaced)

    def in_units(self, units: Mapping[str, int]) -> Polynomial:
        """Read each symbol as a count of units: H becomes H/16, exact where 16 divides H."""

        def replaced(atom: Floor) -> Polynomial:
            unit = units.get(atom.symbol, 1)
            return Polynomial.floor(
                atom.symbol, atom.multiplier, atom.offset * unit, atom.divisor * unit
            )

        return self._mapped(replaced)

    def _mapped(self, replaced: Callable[[Floor], Polynomial]) -> Polynomial:
        atoms = {atom for monomial in self.terms for atom in monomial}
        images = {atom: replaced(atom) for atom in atoms}
        return total(
            product([*(images[atom] for atom in monomial), Polynomial.constant(coefficient)])
            for monomial, coefficient in self.terms.items()
        )

    def __str__(self) -> str:
        """Common factors in front, largest powers first: `16384·N·(5091·h·w + 125)`."""
        if not self.terms:
            return "0"
        if len(self.terms) == 1:
            ((monomial, coefficient),) = self.terms.items()
            return _product(coefficient, monomial)
        number, shared = self._common()
        rest = {
            _without(monomial, shared): coefficient // number
            for monomial, coefficient in self.terms.items()
        }
        inside = _sum(rest)
        if number == 1 and not shared:
            return inside
        return f"{_product(number, shared)}·({inside})"

    def _common(self) -> tuple[int, Monomial]:
        """The greatest number and monomial that divide every term."""
        number = gcd(*self.terms.values())
        monomials = list(self.terms)
        shared: list[Floor] = []
        for atom in dict.fromkeys(monomials[0]):
            shared += [atom] * min(monomial.count(atom) for monomial in monomials)
        return number, tuple(shared)


def total(polynomials: Iterable[Polynomial]) -> Polynomial:
    """The sum of many polynomials."""
    terms: dict[Monomial, int] = {}
    for polynomial in polynomials:
        for monomial, coefficient in polynomial.terms.items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
    return Polynomial({key: value for key, value in terms.items() if value})


def product(polynomials: Iterable[Polynomial]) -> Polynomial:
    """The product of many polynomials."""
    return reduce(Polynomial.__mul__, polynomials, Polynomial.constant(1))


def _without(monomial: Monomial, factor: Monomial) -> Monomial:
    rest = list(monomial)
    for atom in factor:
        rest.remove(atom)
    return tuple(rest)


def _product(coefficient: int, monomial: Monomial) -> str:
    """`9408·N·⌊(H+1)/2⌋`, powers as `L²`; the batch comes first, in the order of `_reading`."""
    powers: dict[Floor, int] = {}
    for atom in sorted(monomial, key=_reading):
        powers[atom] = powers.get(atom, 0) + 1
    factors = [f"{atom}{_power(times)}" for atom, times in powers.items()]
    if coefficient == -1 and factors:
        return "-" + "·".join(factors)
    if coefficient != 1 or not factors:
        factors.insert(0, str(coefficient))
    return "·".join(factors)


def _reading(atom: Floor) -> tuple[bool, str, int]:
    """`N` is read first, then the alphabet."""
    return atom.symbol != "N", atom.symbol, atom.divisor


_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(times: int) -> str:
    return "" if times == 1 else str(times).translate(_SUPERSCRIPTS)


def _sum(terms: Mapping[Monomial, int]) -> str:
    """Highest degree first, then finer floors first, as a network runs."""

    def rank(item: tuple[Monomial, int]) -> tuple[int, list[tuple[int, str, int]]]:
        monomial = item[0]
        return -len(monomial), [(a.divisor, a.symbol, a.offset) for a in monomial]

    text = ""
    for monomial, coefficient in sorted(terms.items(), key=rank):
        sign = "-" if coefficient < 0 else "+"
        written = _product(abs(coefficient), monomial)
        if text:
            text += f" {sign} {written}"
        else:
            text = written if coefficient > 0 else f"-{written}"
    return text
