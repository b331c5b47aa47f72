"""The device that jax computes on: tells if it is not the one that was expected."""

import os
from pathlib import Path as File

import jax

GPU = File("/dev/nvidia0")  # there if the machine, or this part of it, has an NVIDIA GPU


def missing() -> str:
    """A line that says that jax lacks a device of the kind that was asked for; else empty."""
    try:
        jax.devices()
    except Exception:  # a RuntimeError or, where no platform is known, an AssertionError
        asked = os.environ.get("JAX_PLATFORMS")
        return f"JAX_PLATFORMS={asked}: jax finds no such device; unset it{_or_install()}"
    return ""


def unused() -> str:
    """A line that says that jax uses the CPU, unasked, though there is a GPU; else empty."""
    if not GPU.exists() or os.environ.get("JAX_PLATFORMS") or jax.default_backend() != "cpu":
        return ""
    return f"jax doesn't use the GPU; set JAX_PLATFORMS=cpu if that is meant{_or_install()}"


def _or_install() -> str:
    """What else helps if there is a GPU."""
    return ", or add what it needs: ./launch.sh --gpu" if GPU.exists() else ""
