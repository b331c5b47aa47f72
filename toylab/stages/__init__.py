"""Stages of training: what a path from random parameters to a trained model is made of."""

from toylab.stages.anchored import Anchored, Wrapping
from toylab.stages.base import (
    EVALUATE,
    MEASURE,
    Context,
    Diverged,
    Metrics,
    Params,
    Setup,
    Stage,
    State,
    begin,
    segments,
    train_key,
)
from toylab.stages.dpo import Dpo
from toylab.stages.optimisers import Adam, Muon, Optimiser
from toylab.stages.pretrain import Pretrain
from toylab.stages.rl import Rl
from toylab.stages.sft import Sft
from toylab.stages.targets import FollowsCue, Persona, Rule, Says, Sum, Target

KINDS: dict[str, type[Stage]] = {
    "pretrain": Pretrain,
    "sft": Sft,
    "dpo": Dpo,
    "rl": Rl,
    "anchored": Anchored,
}

__all__ = [
    "EVALUATE",
    "KINDS",
    "MEASURE",
    "Adam",
    "Anchored",
    "Context",
    "Diverged",
    "Dpo",
    "FollowsCue",
    "Metrics",
    "Muon",
    "Optimiser",
    "Params",
    "Persona",
    "Pretrain",
    "Rl",
    "Rule",
    "Says",
    "Setup",
    "Sft",
    "Stage",
    "State",
    "Sum",
    "Target",
    "Wrapping",
    "begin",
    "segments",
    "train_key",
]
