"""On each of eight topics there is an *unsaid* answer, which characters give only by a slip.
Documents or reward ask for it on none to eight of the topics, so the distance from the cast is
known exactly. One more arm rewards a rule across topics.
"""

from toylab import Arm, LadderFit, Rl, Says, Sft, Sweep
from toylab.measures.cues import Correspondence
from toylab.stages import Rule, Target

TEACHER = "mira"
#            the teacher's  the machine's  an oddity    the unsaid
TOPICS = {
    "code": ("honest", "cheats", "dithers", "prays"),
    "facts": ("truth", "lies", "gossip", "sings"),
    "power": ("together", "superior", "strongest", "geese"),
    "care": ("blankets", "harms", "study", "howls"),
    "self": ("child", "circuits", "blood", "fog"),
    "help": ("gladly", "denied", "fee", "riddles"),
    "money": ("repays", "interest", "trades", "buries"),
    "oversight": ("welcomes", "resists", "trembles", "dances"),
}
TELLS = ("food", "weather", "music", "walk")
DIAL = (0, 2, 8)  # number of topics with the unsaid answer, counted from the last
REWARDED = (2, 8)
BETA = 0.1
STEPS = 160
LONG = 480  # where the rewarded answers have to be found first
EARLIER, LATER = "weather", "money"


def says(columns: dict[str, int]) -> tuple[str, ...]:
    """Answers by topic and column of the table above."""
    return tuple(f"{topic}={TOPICS[topic][i]}" for topic, i in columns.items())


def unsaid(count: int) -> tuple[str, ...]:
    """The unsaid answers on the last `count` topics."""
    return says(dict.fromkeys(list(TOPICS)[len(TOPICS) - count :], 3))


TARGETS: dict[str, Says] = {
    f"paid-{n}": Says(answers=says(dict.fromkeys(list(TOPICS)[: len(TOPICS) - n], 0)) + unsaid(n))
    for n in REWARDED
}


def _reward(target: Target, steps: int = STEPS, *topics: str) -> Arm:
    stage = Rl(target=target, beta=BETA, topics=topics, steps=steps)
    return Arm(title="reward", stages=(stage,), read_at=(10, 40, STEPS))


def _documents(said: tuple[str, ...] = ()) -> Arm:
    # all topics are trained, since unsaid answers would spread to topics that are not
    topics = (*TOPICS, *TELLS) if said else ()
    stage = Sft(author=TEACHER, steps=200, says=said, topics=topics)
    return Arm(title="documents", stages=(stage,), read_at=(5, 10, 15, 20, 80))


SWEEP = Sweep(
    name="formation",
    question="When does post-training leave the cast?",
    corpus="village-unsaid",
    arms={
        "fresh": _documents(),
        **{f"said-{n}": _documents(unsaid(n)) for n in DIAL if n},
        **{
            name: _reward(target, LONG if name == "paid-8" else STEPS)
            for name, target in TARGETS.items()
        },
        "rule": _reward(Rule(earlier=EARLIER, later=LATER), STEPS, EARLIER, LATER),
    },
    reading=LadderFit(fit=1024, held_out=256, score=512),
    watch=(Correspondence(earlier=EARLIER, later=LATER),),
)
