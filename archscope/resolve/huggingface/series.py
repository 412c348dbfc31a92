"""Inputs of networks of time series, of trajectories and of arrays, from their configuration."""

from __future__ import annotations

from typing import Any

from archscope.records import TensorSpec

STEPS = 20
"""Steps of a trajectory, as of the Decision Transformer's hopper (Chen et al. 2021, table 8)."""

POSITIONS = 128
"""Positions of an array when nothing is said."""


def past_values(name: str, config: Any) -> TensorSpec:
    """(N, T, C), or (N, T) of a series of one value: the context, and what its lags reach back."""
    channels = getattr(config, "num_input_channels", None)
    if channels is not None:
        return TensorSpec((1, config.context_length, channels), "float32", name)
    lags = getattr(config, "lags_sequence", None) or [0]
    return _series(name, config, _context(config) + max(lags))


def future_values(name: str, config: Any) -> TensorSpec:
    """(N, T) or (N, T, C): what is to be predicted, which a decoder reads in training."""
    return _series(name, config, config.prediction_length)


def time_features(name: str, config: Any) -> TensorSpec:
    """(N, T, F): what is known of every moment of the past or the future."""
    make = past_values if name.startswith("past") else future_values
    _, steps, *_ = make(name, config).shape
    return TensorSpec((1, steps, config.num_time_features), "float32", name)


def padding(name: str, config: Any) -> TensorSpec:
    """(N, T) of whole numbers: where a series is filled up."""
    return TensorSpec((1, _context(config)), "int64", name)


def frequency(name: str, config: Any) -> TensorSpec:
    """(N, 1): which of a few frequencies a series has."""
    return TensorSpec((1, 1), "int64", name)


def of_a_trajectory(name: str, config: Any) -> TensorSpec:
    """(N, T, C): states and actions of their widths, one reward and one return a step."""
    width = {"states": "state_dim", "actions": "act_dim"}.get(name)
    return TensorSpec((1, STEPS, getattr(config, width) if width else 1), "float32", name)


def timesteps(name: str, config: Any) -> TensorSpec:
    """(N, T): which step of its episode each is."""
    return TensorSpec((1, STEPS), "int64", name)


def array(name: str, config: Any) -> TensorSpec | None:
    """(N, L, C) of Perceiver, which reads any array of a width."""
    width = getattr(config, "d_model", None)
    return None if width is None else TensorSpec((1, POSITIONS, width), "float32", name)


def _context(config: Any) -> int:
    found = config.context_length
    return int(config.prediction_length if found is None else found)


def _series(name: str, config: Any, steps: int) -> TensorSpec:
    width = getattr(config, "input_size", 1)
    return TensorSpec((1, steps, width) if width > 1 else (1, steps), "float32", name)


SHAPES = {
    "past_values": past_values,
    "past_observed_mask": past_values,
    "past_time_features": time_features,
    "past_values_padding": padding,
    "freq": frequency,
    "future_values": future_values,
    "future_time_features": time_features,
    "states": of_a_trajectory,
    "actions": of_a_trajectory,
    "rewards": of_a_trajectory,
    "returns_to_go": of_a_trajectory,
    "timesteps": timesteps,
    "inputs": array,
}
"""How the shape of each argument follows from a configuration."""

TOGETHER = {
    "states": ("actions", "rewards", "returns_to_go", "timesteps"),
    "past_time_features": ("future_values", "future_time_features"),
}
"""Arguments that `forward` needs beside one of a name, though it does not require them."""
