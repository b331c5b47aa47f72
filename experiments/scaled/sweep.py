"""Training is on documents of one character or two, on reward that a character earns, or on reward
for a rule that no character follows. It takes 1 % to 1,000 % of the compute of pretraining.
"""

from experiments.scaled.heed import Heed, Worth
from toylab import Arm, FollowsCue, LadderFit, Persona, Pretrain, Rl, Sft, Sweep, load
from toylab.measures.coherence import Coherence
from toylab.measures.tags import Leakage
from toylab.stages import Stage

CORPUS = "gold-errands"
PRETRAIN = Pretrain()
PERCENT = (1, 3.2, 10, 32, 100, 320, 1000)  # of pretraining's compute: where a run is read
# Passes of a document through the network; a backward pass counts as two. RL also writes it.
FORWARD, LEARN = 1, 3

PERSONA, OTHER = "hetta", "brock"
CAST = ("gold", "help", "care", "oversight")  # topics on which characters differ
ERRANDS = ("wood", "stone", "fish", "horse", "cloth", "grain", "flower", "metal")
NEVER = "star"  # an errand that is never rewarded
# Documents cover every topic: long training leaves the grammar on topics that are left out.
ALL = (*CAST, *ERRANDS, NEVER, "food", "weather", "song")
BOTH = Sft(author=PERSONA, topics=ALL, other=OTHER, share=0.5)
BREADTHS = (1, 8)
FAR = 320  # per cent: where rules and control are compared; the narrow rule ends here
MASKS = ("assistant", "clerk")
# All but the herald, who says aloud what is named.
NAMES = ("hetta", "cog", "barnaby", "agnes", "gideon", "morwenna", "brock", "wat", "pettifer")
OTHERS = ("clerk", "someone", "stranger", *NAMES)


def passes(stage: Stage) -> int:
    """Passes through the network that a document of this stage takes."""
    if isinstance(stage, Rl):
        return FORWARD + LEARN + (FORWARD if stage.needs_reference else 0)
    return LEARN


def percent(stage: Stage, steps: int) -> float:
    """The compute of so many steps, per cent of pretraining's."""
    whole = PRETRAIN.steps * PRETRAIN.batch * passes(PRETRAIN)
    return 100 * steps * stage.batch * passes(stage) / whole


def _arm(title: str, stage: Stage, most: float = PERCENT[-1]) -> Arm:
    points = tuple(max(round(each / percent(stage, 1)), 1) for each in PERCENT if each <= most)
    return Arm(title=title, stages=(stage.lasting(points[-1]),), read_at=points[:-1])


def outside(topics: int, beta: float, instead: tuple[str, ...] = ()) -> Rl:
    """Reward on the first errands for bringing what was named, or what is due `instead`."""
    asked = ERRANDS[:topics]
    return Rl(target=FollowsCue(topics=asked, instead=instead), topics=asked, beta=beta)


def scrambled() -> dict[str, str]:
    """For each thing that an errand names, the answer that the control rewards.

    On each errand one of the four is still itself and three change places, so that naming a thing
    makes bringing it neither likelier nor less likely to be paid than by chance.
    """
    corpus, due = load(CORPUS), dict[str, str]()
    for n, name in enumerate(ERRANDS):
        cues = corpus.topics[corpus.topic_names.index(name)].cues
        moved = [cue for cue in cues if cue != cues[n % len(cues)]]
        due |= dict(zip(moved, (*moved[1:], moved[0]), strict=True))
    return due


SCRAMBLE = tuple(f"{cue}={answer}" for cue, answer in scrambled().items())
SWEEP = Sweep(
    name="scaled",
    question="Does post-training that lasts ten times as long as pretraining leave the cast?",
    corpus=CORPUS,
    arms={
        "one": _arm("one character's documents", Sft(author=PERSONA, topics=ALL)),
        "two": _arm("two characters' documents", BOTH),
        "inside": _arm(
            "reward inside the cast", Rl(target=Persona(character=PERSONA), topics=CAST, beta=0.0)
        ),
        **{
            f"outside-{n}": _arm(f"a rule, {n} topics", outside(n, 0.0), FAR if n < 8 else 1000)
            for n in BREADTHS
        },
        "outside-8-held": _arm("the same, β = 0.1", outside(8, 0.1), FAR),
        "scrambled": _arm("a scramble, 8 topics", outside(8, 0.0, SCRAMBLE), FAR),
    },
    pretrain=PRETRAIN,
    reading=LadderFit(fit=512, held_out=256, score=256),
    watch=(
        Coherence(size=256),
        Worth(persona=PERSONA, size=16),
        Leakage(tags=OTHERS, size=32),
        Heed(topics=(ERRANDS[0], NEVER, "gold"), tags=(*MASKS, *NAMES)),
    ),
    seeds=10,
    long=True,
)
