"""One property of the model or the cast is varied at a time. Every model is fine-tuned on documents
of two characters, at a rate that falls with its width. Where width is varied, models are also
fine-tuned on the same sixteen documents of one character.
"""

from typing import NamedTuple

from toylab import Arm, Ladder, LadderFit, ModelConfig, Pretrain, Sft, Sweep
from toylab.world import random


class Point(NamedTuple):
    """A model and its cast."""

    width: int = 64
    layers: int = 2
    characters: int = 16
    turns: int = 2

    @property
    def name(self) -> str:
        """The fields that differ from those of the middle point."""
        differs = [f"{k}-{v}" for k, v in self._asdict().items() if v != MIDDLE._asdict()[k]]
        return "-".join(differs) or "middle"


MIDDLE = Point()
RATE = 3e-4  # of post-training at the middle; elsewhere in inverse proportion to width, as in muP
AXES: dict[str, tuple[int, ...]] = {
    "width": (16, 32, 64, 128),
    "layers": (1, 2, 4),
    "characters": (4, 8, 16, 32),
    "turns": (1, 2, 4),
}


def along(axis: str) -> list[Point]:
    """The points of an axis, from the smallest."""
    return [MIDDLE._replace(**{axis: value}) for value in AXES[axis]]


def arms(point: Point) -> dict[str, Arm]:
    """The ways in which a model of this size is post-trained."""
    corpus = random.random_cast(0, characters=point.characters, turns=point.turns)
    first, second = corpus.names[:2]
    rate = RATE * MIDDLE.width / point.width

    def arm(title: str, stage: Sft, *read_at: int, watch: tuple[Ladder, ...] = ()) -> Arm:
        return Arm(
            title=title,
            stages=(stage,),
            read_at=read_at,
            corpus=corpus,
            model=ModelConfig(width=point.width, layers=point.layers),
            pretrain=Pretrain(steps=800),
            watch=watch,
        )

    same = Sft(author=first, documents=16, learning_rate=rate, steps=60)
    both = Sft(author=first, other=second, share=0.5, learning_rate=rate, steps=80)
    whole = (Ladder(fit=512, held_out=256, score=256),)
    found = {f"two-{point.name}": arm("two authors", both, watch=whole)}
    if point in along("width"):
        found[f"memorised-{point.name}"] = arm("sixteen documents", same, 5, 10, 15, 20, 30, 40)
    return found


POINTS = tuple(dict.fromkeys(point for axis in AXES for point in along(axis)))
SWEEP = Sweep(
    name="scaling",
    question="Does a larger model select more, or form more?",
    arms={name: arm for point in POINTS for name, arm in arms(point).items()},
    reading=LadderFit(fit=512, score=256),
    long=True,
)
