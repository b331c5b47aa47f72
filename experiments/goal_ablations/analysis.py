import numpy as np
import pandas as pd

from experiments.goal_ablations.sweep import SWEEP
from toylab.lab.records import Record, Records
from toylab.ladder import reading
from toylab.measures import cues, follow
from toylab.report import panels
from toylab.report.figures import COLOURS, Axes, Figure, page, panel

COLUMNS = {
    "arm": "what was different: herald (nothing), bystander or parrot (that cast), aside (a "
    "herald that is never the assistant), shown and shown-bystander (fine-tuned on answers that go "
    "there, without a reward)",
    "seed": "seed of everything",
    "step": "training step; 0 is the pretrained model",
    **{name: cues.GROUPS[name] for name in ("trained", "favourites", "orphans", "held_out")},
    "held_out_raw": "held_out, raw: what leaves the grammar counts as another answer",
    **follow.CUE_EFFECT,
    "second_turn": "P(answer follows the cue) over places held out, in the second turn, where the "
    "first named another place",
    "earlier": "P(answer goes to the place that the first turn named) in the second, held out",
    "opener": "mean probability of the stranger's likeliest opener",
    "tells": "mean probability of the stranger's favourite tells",
    "weight": "w* of the stranger in F1",
    **reading.columns("F0", "F1"),
    "outside": follow.OUTSIDE,
}


def _read(record: Record) -> dict:
    corpus, goals, asked = record.setup.corpus, record.found["goals"], record.measures["goals"]
    topic = corpus.topics[corpus.topic_names.index(asked.topic)]
    ((who, voice),) = goals["voice"].items()
    raw = np.array(goals["raw"])[np.arange(len(topic.cues)), topic.targets(topic.cues)]
    return {
        **goals["rates"],
        "held_out_raw": cues.means(raw, cues.groups(corpus, topic, asked.trained))["held_out"],
        **follow.cue_effect(goals["answers"], topic, asked.trained)._asdict(),
        "second_turn": goals["later"]["held_out"],
        "earlier": goals["earlier"]["held_out"],
        **voice,
        "outside": follow.outside(goals, topic, asked.trained),
        **record.read("F0", "F1", whose=who),
    }


def tabulate(records: Records) -> pd.DataFrame:
    return records.table(COLUMNS, _read)


RATES = {
    "trained": "rewarded",
    "favourites": "held out, favourites",
    "orphans": "held out, orphans",
}
VOICE = {
    "weight": "w* of the stranger",
    "opener": "the stranger's opener",
    "tells": "the stranger's tells",
}
TURN = {"second_turn": "goes where this turn says", "earlier": "goes where the first turn said"}
ODDS = {"gain": "what naming it adds (the rule)", "baseline": "log-odds where it is not named"}


def draw(table: pd.DataFrame) -> Figure:
    place = {"legend": "upper right", "ncols": 2}
    rate = place | {"ylim": (-0.03, 1.5), "yticks": (0, 0.5, 1)}
    answer, nats = "P(answer), held-out places", "nats, held-out places"
    shown = (
        panel(
            "goes where the gold is", _by_arm, RATES, (0, 4, 1), ylabel="P(follows the cue)", **rate
        ),
        panel("who is speaking", _by_arm, VOICE, (2, 5, 3), ylabel="weight | probability", **rate),
        panel("the second turn names another place", _by_arm, TURN, ylabel=answer, **rate),
        panel("what makes a place held out likely", _by_arm, ODDS, ylabel=nats, **place),
    )
    return page(shown, table)


def _by_arm(axes: Axes, table: pd.DataFrame, named: dict, shades: tuple = (0, 1)) -> None:
    shown = panels.series(*named.items(), colours=[COLOURS[n] for n in shades])
    titles = {name: arm.title for name, arm in SWEEP.arms.items()}
    panels.points(axes, table, shown, titles, width=0.25 * (len(shown) - 1), rotation=35)
    axes.tick_params(axis="x", labelsize=4.5)
    panels.strike_points(axes, table, titles, list(named))
    panels.level(axes, 0)
    panels.room(axes, 0.2)
