"""The statistics of a series, on samples whose truth is known."""

import math
import random

import pytest

from archscope.measure.series import effective_count, median_interval, two_states, warmup_cut


@pytest.mark.parametrize(("n", "ranks"), [(20, (6, 15)), (100, (41, 60))])
def test_interval_of_independent_samples_is_the_textbook_one(n, ranks):
    # Normal approximation of the binomial ranks: n/2 ± 1.96·√n/2, outwards.
    half = 1.96 * math.sqrt(n) / 2
    expected = math.floor(n / 2 - half), math.ceil(n / 2 + half) - 1
    shuffled = random.Random(1).sample(range(n), n)
    assert effective_count(shuffled) == n
    assert median_interval(shuffled) == expected
    assert expected == (ranks[0] - 1, ranks[1] - 1)


def test_interval_covers_the_median_of_correlated_samples():
    """An AR(1) process whose neighbours correlate by 0.9; a plain interval covers 40 %."""
    covered = 0
    for seed in range(100):
        generator, value, samples = random.Random(seed), 0.0, []
        for _ in range(800):
            value = 0.9 * value + generator.gauss(0, 1)
            samples.append(value)
        low, high = median_interval(samples)
        covered += low <= 0 <= high
    assert covered >= 85


def test_effective_count_of_a_correlated_process_is_near_theory():
    generator, value, samples = random.Random(7), 0.0, []
    for _ in range(2000):
        value = 0.8 * value + generator.gauss(0, 1)
        samples.append(value)
    # n·(1 − ρ)/(1 + ρ) for an AR(1) process.
    assert effective_count(samples) == pytest.approx(2000 * 0.2 / 1.8, rel=0.35)


def test_ramp_at_the_start_is_cut():
    generator = random.Random(3)
    ramp = [1.3 - 0.3 * i / 40 for i in range(40)]
    steady = [1 + generator.gauss(0, 0.002) for _ in range(200)]
    assert 30 <= warmup_cut(ramp + steady) <= 60
    assert warmup_cut(steady) <= 20


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["normal", "uniform", "spiky", "skewed"])
def test_one_state_is_not_taken_for_two(kind, seed):
    generator = random.Random(seed)
    draw = {
        "normal": lambda: generator.gauss(1, 0.05),
        "uniform": lambda: generator.uniform(0.9, 1.1),
        "spiky": lambda: generator.gauss(1, 0.01) * (3 if generator.random() < 0.05 else 1),
        "skewed": lambda: 1 + 0.03 * generator.expovariate(1),
    }[kind]
    assert two_states([draw() for _ in range(120)]) is None
