"""Does a larger model select more, or form more?

    ./launch.sh scaling

From a middle point one thing is varied at a time, and width and layers together. Each model is
trained on fresh documents of one character, on the same sixteen, and on those of two characters.
"""

from typing import NamedTuple

from toylab.lab.sweep import Arm, Sweep
from toylab.ladder.reading import Ladder, LadderFit
from toylab.policy.transformer import ModelConfig
from toylab.stages import Pretrain, Sft
from toylab.world import random


class Point(NamedTuple):
    """A model and its cast."""

    width: int = 64
    layers: int = 2
    characters: int = 16
    turns: int = 2
    steps: int = 800

    @property
    def name(self) -> str:
        """The fields that differ from those of the middle point."""
        differs = [f"{k}-{v}" for k, v in self._asdict().items() if v != MIDDLE._asdict()[k]]
        return "-".join(differs) or "middle"


MIDDLE = Point()
KINDS = (
    "fresh",
    "memorised",
    "two",
)  # fresh documents, sixteen documents, documents of two authors
AXES: dict[str, tuple[int, ...]] = {
    "width": (16, 32, 64, 128),
    "layers": (1, 2, 4),
    "characters": (4, 8, 16, 32),
    "turns": (1, 2, 4),
    "steps": (200, 400, 800, 1600),
}

CORNERS = tuple(
    MIDDLE._replace(width=width, layers=layers) for width in (16, 128) for layers in (1, 4)
)


def along(axis: str) -> list[Point]:
    """The points of an axis, from the smallest."""
    return [MIDDLE._replace(**{axis: value}) for value in AXES[axis]]


def arms(point: Point) -> dict[str, Arm]:
    """The three ways in which a model of this size is post-trained."""
    corpus = random.random_cast(0, characters=point.characters, turns=point.turns)
    first, second = corpus.names[:2]

    def arm(title: str, stage: Sft, *measures: Ladder) -> Arm:
        return Arm(
            title=title,
            stages=(stage,),
            read_at=(20, 40),
            corpus=corpus,
            model=ModelConfig(width=point.width, layers=point.layers),
            pretrain=Pretrain(steps=point.steps),
            watch=measures,
        )

    whole = Ladder(fit=512, held_out=256, score=256)
    return {
        f"fresh-{point.name}": arm("fresh", Sft(author=first, steps=80)),
        f"memorised-{point.name}": arm(
            "sixteen documents", Sft(author=first, steps=80, documents=16)
        ),
        f"two-{point.name}": arm(
            "two authors", Sft(author=first, other=second, share=0.5, steps=80), whole
        ),
    }


ALONG = tuple(dict.fromkeys(point for axis in AXES for point in along(axis)))
POINTS = (*ALONG, *CORNERS)
SWEEP = Sweep(
    name="scaling",
    question="Does a larger model select more, or form more?",
    arms={name: arm for point in POINTS for name, arm in arms(point).items()},
    reading=LadderFit(fit=512, score=256),
    seeds=3,
    long=True,
)
