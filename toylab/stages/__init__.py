"""Stages of training: pretraining, and the ways to post-train a model."""

from toylab.stages.anchored import Anchored
from toylab.stages.base import (
    EVALUATE,
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
from toylab.stages.grpo import Grpo
from toylab.stages.kto import Kto
from toylab.stages.optimisers import Adam, Muon, Optimiser
from toylab.stages.pretrain import Pretrain
from toylab.stages.rl import Rl
from toylab.stages.sft import Sft, taught
from toylab.stages.targets import FollowsCue, Persona, RewardStage, Rule, Says, Sum, Target

# Stages that need no more than a target, by kind: `./launch.sh run --stages=pretrain,KIND:TARGET`.
REWARDED: dict[str, type[RewardStage]] = {
    each.__name__.lower(): each for each in (Dpo, Grpo, Kto, Rl)
}
