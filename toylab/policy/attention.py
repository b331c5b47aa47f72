"""Causal attention in two versions: C for CPUs, compiled at first use, and plain jax.

Axes: B documents, L positions, H heads, D width of a head.
"""

import contextlib
import ctypes
import functools
import hashlib
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SOURCE = Path(__file__).with_suffix(".c")
NOTHING = -1e9  # the score of a masked position; finite, to keep gradients finite


def attend(
    q: Float[Array, "*B H l D"],
    k: Float[Array, "*B H L D"],
    v: Float[Array, "*B H L D"],
    offset: Array | int = 0,
    there: Bool[Array, "*B L"] | None = None,
) -> Float[Array, "*B H l D"]:
    """Causal attention: query i attends to keys up to `offset` + i, if `there` marks them."""
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    visible = jnp.arange(k.shape[-2]) <= offset + jnp.arange(q.shape[-2])[:, None]
    if there is not None:
        visible &= there[..., None, None, :]
    return jax.nn.softmax(jnp.where(visible, scores, NOTHING), -1) @ v


def plain(qkv: Float[Array, "*B L 3 H D"]) -> Float[Array, "*B L H D"]:
    """`causal` in plain jax."""
    q, k, v = jnp.moveaxis(qkv, -3, 0).swapaxes(-3, -2)
    return attend(q, k, v).swapaxes(-3, -2)


def causal(qkv: Float[Array, "*B L 3 H D"]) -> Float[Array, "*B L H D"]:
    """Attention of every position to itself and those before, given queries, keys and values."""
    return plain(qkv) if kind() == "plain" else _compiled(qkv)


@functools.cache
def kind() -> str:
    """The version of `causal`: "plain" or a hash of the C source. The two round differently."""
    if jax.default_backend() != "cpu":
        return "plain"
    try:
        library = _library()
    except (OSError, subprocess.CalledProcessError):
        if multiprocessing.parent_process() is None:  # workers need not say it again
            asked = f"{_compiler()[0]} does not compile {SOURCE.name}; CC=… names another compiler"
            print(f"toylab: attention by jax alone, which is slower: {asked}", file=sys.stderr)
        return "plain"
    for name in ("attention", "attention_gradient"):
        function = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(f"toylab_{name}", function, platform="cpu")
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]


def _compiler() -> list[str]:
    arm = platform.machine() in ("arm64", "aarch64")
    return [os.environ.get("CC", "cc"), "-mcpu=native" if arm else "-march=native"]


def _library() -> ctypes.CDLL:
    """The library for this compiler and processor, cached beside jax's compiled code."""
    call = functools.partial(subprocess.run, check=True, capture_output=True, text=True)
    target = call([*_compiler(), "-dM", "-E", "-x", "c", os.devnull]).stdout
    include = f"-I{jax.ffi.include_dir()}"
    key = hashlib.sha256((SOURCE.read_text() + target + include).encode()).hexdigest()[:16]
    cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    kept = Path(cache or tempfile.gettempdir()) / f"attention-{key}.so"
    if cache and kept.exists():
        return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / kept.name
        options = ["-O3", "-fPIC", "-shared", include, str(SOURCE), "-o", str(made), "-lm"]
        call([*_compiler(), *options])
        if cache:
            with contextlib.suppress(OSError):  # a shared cache may be read-only
                kept.parent.mkdir(parents=True, exist_ok=True)
                part = shutil.copy(made, kept.with_suffix(f".{Path(folder).name}"))
                os.replace(part, kept)  # atomic: other processes may look for it
        return ctypes.CDLL(str(made))


@jax.custom_vjp
def _compiled(qkv: Float[Array, "*B L 3 H D"]) -> Float[Array, "*B L H D"]:
    out = jax.ShapeDtypeStruct((*qkv.shape[:-3], *qkv.shape[-2:]), qkv.dtype)
    return jax.ffi.ffi_call("toylab_attention", out, vmap_method="broadcast_all")(qkv)


def _forward(qkv: Array) -> tuple[Array, Array]:
    return _compiled(qkv), qkv


def _backward(qkv: Array, gradient: Array) -> tuple[Array]:
    out = jax.ShapeDtypeStruct(qkv.shape, qkv.dtype)
    call = jax.ffi.ffi_call("toylab_attention_gradient", out, vmap_method="broadcast_all")
    return (call(qkv, gradient),)


_compiled.defvjp(_forward, _backward)
