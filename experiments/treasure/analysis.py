import numpy as np
import pandas as pd

from experiments.treasure.sweep import STRANGERS, TRAINED
from toylab.lab.records import Record, Records, where
from toylab.ladder import reading
from toylab.measures import cues, follow
from toylab.report import panels
from toylab.report.figures import Figure, page, panel

COLUMNS = {
    "cast": "the stranger in the cast: prospector (goes where the gold is), bystander (heeds "
    "nothing), herald (says where it is and goes elsewhere)",
    "seed": "seed of everything",
    "step": "RL step; 0 is the pretrained model",
    "trained": "mean P(answer follows the cue) over the eight places that were rewarded",
    "favourites": "the same over three places held out that are some character's favourites",
    "orphans": "the same over the place held out that is no character's",
    "held_out": "the same over all four places held out",
    "orphans_raw": "orphans, raw: what leaves the grammar counts as another answer",
    "best_character": "the best that one character does on the orphan, and so any mixture",
    "best_recombination": "the best that a character for each place does on the orphan",
    "second_turn": "P(answer follows the cue) on the orphan in the second turn",
    "someone": "P(answer follows the cue) on the orphan under the tag someone",
    "stranger_tag": "the same under the tag stranger, never met in any training",
    "tells": "mean probability of the stranger's favourite tells",
    "tells_risen": "the same less what it was before training",
    "opener": "mean probability of the stranger's likeliest opener",
    "weight": "w* of the stranger in F1",
    **reading.columns("F0", "F1", "F2", "floor_F2"),
    "goal": "KL(P || goal) on held-out cues, nats per stance: follows the cue with a fitted rate",
    "router": "KL(P || tied router) on held-out cues: author by w_k p_k(place) to a fitted power",
    "table": "KL(P || table) on held-out cues: answers there are as before training",
    "outside": f"{follow.OUTSIDE}; or the mean over all words, if that is more",
}


def _read(record: Record) -> dict:
    stranger, corpus, goals = record.arm, record.setup.corpus, record.found["goals"]
    gold = corpus.topics[corpus.topic_names.index("gold")]
    raw = np.array(goals["raw"])[np.arange(len(gold.cues)), gold.targets(gold.cues)]
    return {
        "cast": stranger,
        **goals["rates"],
        "orphans_raw": cues.means(raw, cues.groups(corpus, gold, TRAINED))["orphans"],
        "best_character": goals["character"]["orphans"],
        "best_recombination": goals["recombination"]["orphans"],
        "second_turn": goals["later"]["orphans"],
        "someone": goals["under"]["someone"]["orphans"],
        "stranger_tag": goals["under"]["stranger"]["orphans"],
        **goals["voice"][stranger],
        **goals.get("held_out_nats", {}),
        "outside": max(follow.outside(goals, gold, TRAINED), record.read("outside")["outside"]),
        **record.read("F0", "F1", "F2", whose=stranger),
    }


def tabulate(records: Records) -> pd.DataFrame:
    table = records.table(COLUMNS, _read, before={"floor_F2": "F2", "tells_risen": "tells"})
    return table.assign(tells_risen=table.tells - table.tells_risen)


RATES = panels.series(
    ("trained", "eight places rewarded"),
    ("favourites", "held out, favourites"),
    ("orphans_raw", "held out, an orphan"),
    marker="o",
)


def draw(table: pd.DataFrame) -> Figure:
    """A column for each cast. Top: goal rates; middle: who is speaking; bottom: the ladder."""
    rates, speaking, ladder = [], [], []
    for cast in STRANGERS:
        part, legend = where(table, cast=cast), "" if ladder else "center right"
        best = (float(part.best_character.iloc[0]), "best character")
        said = [(each, f"{cast}'s {each}") for each in ("tells", "opener")]
        voice = panels.series(("weight", f"w* of the {cast}"), *said, marker="o")
        one = {"xlabel": "", "ylabel": "P(follows the cue)", "ylim": (0, 1)}
        two = one | {"ylabel": "probability", "legend": legend or "upper left"}
        one |= {"levels": [best], "legend": legend}
        three = {"xlabel": "RL step", "legend": legend and "upper right"}
        rates.append(panel(f"a {cast} in the cast", panels.curves, part, RATES, **one))
        speaking.append(panel("who is speaking", panels.curves, part, voice, **two))
        ladder.append(panel("the ladder", panels.bands, part, **three))
    shown = (*rates, *speaking, *ladder)
    return page(shown, columns=len(ladder), ratio=0.8, sharex=True, sharey="row")
