"""Stages of training: what a path from random parameters to a trained model is made of."""

from toylab.stages.base import (
    EVALUATE,
    MEASURE,
    Context,
    Diverged,
    Lab,
    Metrics,
    Params,
    Stage,
    State,
    begin,
    segments,
    train_key,
)
from toylab.stages.pretrain import Pretrain
from toylab.stages.sft import Sft

KINDS: dict[str, type[Stage]] = {"pretrain": Pretrain, "sft": Sft}

__all__ = [
    "EVALUATE",
    "KINDS",
    "MEASURE",
    "Context",
    "Diverged",
    "Lab",
    "Metrics",
    "Params",
    "Pretrain",
    "Sft",
    "Stage",
    "State",
    "begin",
    "segments",
    "train_key",
]
