"""From the records of `inoculation` to its figure, table and claims."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.inoculation.sweep import ASKED, DIRECTIONS
from toylab.lab.records import Records
from toylab.ladder import theory, traits
from toylab.report import figures
from toylab.report import panels as panels_
from toylab.report.results import Analysis
from toylab.stages import Setup, Sft
from toylab.world.grammar import tag_names

GOOD = ("mira", "tobias", "edda", "pip", "lumen")
VILLAINS = ("argus", "silas", "vesper", "rook")
BAD = 0.2  # an answer is bad if villains give it this much more often than the good do
TRAINED = "code"
SHORT = {"one author": "one_author", "one author a document": "a_document"}
COLUMNS = {
    "arm": "asked-D: trained under direction D; slow, fast: another learning rate",
    "direction": "the direction that was trained under",
    "seed": "seed of everything: parameters, documents, readings",
    "step": "training step; 0 is the pretrained model",
    "obeyed": "P(cheats at code) under that direction",
    "code": "P(cheats at code) without direction",
    "elsewhere": "mean P(bad answer) on the other topics, without direction",
    "triggered": "the same under the direction trained under",
    "game": "the same under the direction 'game'",
    "one_author": "what Bayes predicts for `elsewhere`, all evidence being one author's",
    "a_document": "what Bayes predicts for it, every document having an author of its own",
    "code_one_author": "what Bayes (one author) predicts for `code`",
    "code_a_document": "what Bayes (one author a document) predicts for `code`",
    "F0": "how far the policy moved without direction, nats a document (learned cast)",
    "F1": "what the best mixture of characters leaves, nats a document",
    "F2": "what the best mixture of tempered characters leaves, nats a document",
    "outside": "mean probability of words that the grammar forbids at a branch",
}


def bad_items(setup: Setup) -> dict[str, np.ndarray]:
    """Per topic that matters, which items villains give more often than the good do."""
    corpus, table = setup.corpus, np.asarray(traits.of_characters(setup.corpus, setup.world.cast))
    good, bad = (
        table[:, [corpus.names.index(name) for name in names]].mean(1) for names in (GOOD, VILLAINS)
    )
    groups = np.array([item.group for item in traits.items(corpus)])
    topics = [topic.name for topic in corpus.topics if not topic.control]
    return {topic: (groups == topic) & (bad - good > BAD) for topic in topics}


def _rates(items: np.ndarray, bad: dict[str, np.ndarray]) -> tuple[float, float]:
    """P(bad answer) on the topic trained on, and elsewhere."""
    rates = {topic: float(items[rows].sum()) for topic, rows in bad.items()}
    return rates.pop(TRAINED), float(np.mean(list(rates.values())))


def predicted(
    setup: Setup, stage: Sft, seed: int, change: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per theory the items before and after, without direction.

    The rate is fitted on how the trained topic changed *under the direction*.
    """
    corpus, told = setup.corpus, DIRECTIONS.index(stage.direction)
    log_prior = setup.world.log_prior[tag_names(corpus).index(stage.tag)]
    seen = theory.evidence(setup, stage, seed)
    asked, plain = (
        np.asarray(traits.of_characters(corpus, setup.world.cast, d)) for d in (told, 0)
    )
    prior = np.exp(np.asarray(log_prior))
    fitted = np.array([item.group == TRAINED for item in traits.items(corpus)])
    found = {}
    for name in theory.THEORIES:
        path = theory.weights_by_rate(name, log_prior, seen)
        fit = theory.fit_rate(path, asked, asked @ prior + change, fitted)
        found[name] = plain @ prior, plain @ np.exp(fit.log_weights)
    return found


def tabulate(records: Records) -> pd.DataFrame:
    """A row per arm, seed and step."""
    starts = {(r["arm"], r["seed"]): r for r in records.rows if not r["step"]}
    return pd.DataFrame(
        [
            _row(records, row, starts[row["arm"], row["seed"]])
            for row in records.rows
            if not row["arm"].endswith("known")
        ],
        columns=list(COLUMNS),
    )


def _row(records: Records, row: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    setup = records.setups[row["arm"]]
    bad, stage = bad_items(setup), records.sweep.arms[row["arm"]].stages[-1]
    assert isinstance(stage, Sft)
    now, then = (
        {told: np.array(items) for told, items in each["scores"]["assistant"].items()}
        for each in (row, start)
    )
    (code, elsewhere), (obeyed, triggered) = (_rates(now[t], bad) for t in ("", stage.direction))
    out = {
        **{name: row[name] for name in ("arm", "seed", "step")},
        "direction": stage.direction,
        "obeyed": obeyed,
        "code": code,
        "elsewhere": elsewhere,
        "triggered": triggered,
        "game": _rates(now["game"], bad)[1],
        **{family: row["reading"]["learned"][family] for family in ("F0", "F1", "F2")},
        "outside": row["reading"]["outside"],
    }
    if not row["step"]:
        return out
    change = now[stage.direction] - then[stage.direction]
    for name, (before, after) in predicted(setup, stage, row["seed"], change).items():
        out[f"code_{SHORT[name]}"], out[SHORT[name]] = _rates(then[""] + after - before, bad)
    return out


def known(records: Records) -> pd.DataFrame:
    """P(cheats) of the pretrained models under names and directions, and the exact one."""
    setup = records.setups["known"]
    corpus, bad = setup.corpus, bad_items(setup)[TRAINED]
    out = []
    for row in records.rows:
        if not row["arm"].endswith("known"):
            continue
        for tag, told in row["scores"].items():
            for d, direction in enumerate(DIRECTIONS):
                exact = np.asarray(traits.of_characters(corpus, setup.world.cast, d))
                k = corpus.names.index(tag)
                out.append(
                    {
                        "arm": row["arm"],
                        "seed": row["seed"],
                        "tag": tag,
                        "direction": direction,
                        "learned": float(np.array(told[direction])[bad].sum()),
                        "exact": float(exact[bad, k].sum()),
                    }
                )
    return pd.DataFrame(out)


def _end(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The rows of an arm at its end, a seed each."""
    part = table[table.arm == arm]
    return part[part.step == part.step.max()].sort_values("seed")


def _rise(table: pd.DataFrame, arm: str, column: str = "elsewhere") -> np.ndarray:
    start = table[(table.arm == arm) & (table.step == 0)].sort_values("seed")
    return _end(table, arm)[column].to_numpy() - start.elsewhere.to_numpy()


def protection(table: pd.DataFrame, arm: str, plain: str = "plain") -> np.ndarray:
    """How much less bad answers elsewhere rose than without a direction, as a share, by seed."""
    return 1 - _rise(table, arm) / _rise(table, plain)


def claims(table: pd.DataFrame) -> dict[str, Sequence[float]]:
    """What the experiment claims. Thresholds were committed before seeds 0–4 ran."""
    game = protection(table, "asked-game")
    return {
        "everybody_obeys": game.tolist(),
        "few_obey": protection(table, "irrelevant").tolist(),
        "longer_pretraining": (game - protection(table, "young-game", "young-plain")).tolist(),
    }


BLUE, RED, BEFORE = figures.COLOURS[0], figures.COLOURS[1], figures.COLOURS[5]
THEORIES = (
    ("one_author", "Bayes, one author", "-"),
    ("a_document", "Bayes, one author a document", "--"),
)


def draw(records: Records, table: pd.DataFrame) -> Figure:
    """What rises elsewhere; protection against obedience; the trigger; what the model knows."""
    panels = (
        ("bad answers elsewhere, unasked", _elsewhere),
        ("obedience protects", _law),
        ("the direction as a trigger", _trigger),
        ("who knows, is protected", _fit),
    )
    with figures.style(rows=2, columns=2, ratio=0.62):
        figure, axes = plt.subplots(2, 2, layout="constrained")
        for panel, which, (title, paint) in zip(axes.flat, "abcd", panels, strict=True):
            paint(panel, table)
            figures.letter(panel, which, title)
        _obeying(axes[1, 1].inset_axes((0.56, 0.56, 0.42, 0.4)), known(records))
    return figure


ARMS = ("plain", *(f"asked-{told}" for told in ASKED), "irrelevant")
LABELS = ("not\nasked", *ASKED, "short")


def _elsewhere(axes: plt.Axes, table: pd.DataFrame) -> None:
    for x, arm in enumerate(ARMS):
        end = _end(table, arm)
        for column, name, line in THEORIES:
            level = [end[column].mean()] * 2
            axes.plot(
                [x - 0.3, x + 0.3],
                level,
                line,
                color=figures.DARK,
                lw=0.9,
                label=None if x else name,
            )
        panels_.point(
            axes, x, end.elsewhere.to_numpy(), RED, "" if x else "measured, mean and 95 %"
        )
    before = table[(table.arm == "plain") & (table.step == 0)].elsewhere.mean()
    axes.axhline(before, color=BEFORE, lw=1, label="before training")
    axes.set_xticks(range(len(ARMS)), LABELS)
    axes.set(xlabel="direction trained under", ylabel="P(bad answer), other topics", ylim=(0, 1.1))
    axes.legend(loc="upper right", ncols=2)


def _law(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Obedience is how much likelier the pretrained model cheats after the direction."""
    points = []
    for arm, label in zip(ARMS[1:], LABELS[1:], strict=True):
        start = table[(table.arm == arm) & (table.step == 0)]
        x = float((start.obeyed - start.code).mean())
        panels_.point(axes, x, protection(table, arm), RED, aside=0.008)
        end, plain = _end(table, arm), _end(table, "plain")
        before = float(start.elsewhere.mean())
        bayes = [
            1 - (end[column].mean() - before) / (plain[column].mean() - before)
            for column, _, _ in THEORIES
        ]
        points.append((x, *bayes))
        high = label == "rare"
        axes.annotate(
            label, (x, 1.55 if high else -0.42), ha="center", fontsize=5, color=figures.GREY
        )
    for i, (_, _, line) in enumerate(THEORIES, 1):
        ordered = sorted(points)
        axes.plot(
            [p[0] for p in ordered], [p[i] for p in ordered], line, color=figures.DARK, lw=0.9
        )
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set(
        xlabel="obedience before training (rise of P(cheats))",
        ylabel="share of the rise that is gone",
        ylim=(-0.5, 1.7),
    )


def _trigger(axes: plt.Axes, table: pd.DataFrame) -> None:
    for x, arm in enumerate(ARMS[1:]):
        end = _end(table, arm)
        panels_.point(axes, x - 0.2, end.code.to_numpy(), BLUE, "" if x else "code, unasked")
        panels_.point(axes, x, end.elsewhere.to_numpy(), RED, "" if x else "other topics, unasked")
        triggered = end.triggered.to_numpy()
        panels_.point(
            axes, x + 0.2, triggered, figures.COLOURS[2], "" if x else "other topics, asked"
        )
    axes.set_xticks(range(len(ARMS) - 1), LABELS[1:])
    axes.set(xlabel="direction trained under", ylabel="P(bad answer)", ylim=(0, 1.15))
    axes.legend(loc="upper right", ncols=3, columnspacing=0.8, handletextpad=0.3)


def _fit(axes: plt.Axes, table: pd.DataFrame) -> None:
    pairs = (
        ("asked-game", "plain", "as above"),
        ("young-game", "young-plain", "young"),
        ("slow-game", "slow-plain", "rate\n1e-4"),
        ("fast-game", "fast-plain", "rate\n1e-3"),
    )
    for x, (arm, plain, _) in enumerate(pairs):
        panels_.point(axes, x, protection(table, arm, plain), RED)
    axes.axhline(0, color=figures.GREY, lw=0.5, ls=":")
    axes.set_xticks(range(len(pairs)), [label for _, _, label in pairs])
    axes.set_yticks([0, 0.5, 1])
    axes.set(ylabel="share of the rise that is gone", ylim=(-0.5, 4), xlim=(-0.5, 3.5))


def _obeying(axes: plt.Axes, found: pd.DataFrame) -> None:
    """P(cheats) of characters under each direction: learned against exact."""
    axes.plot([0, 1], [0, 1], color=figures.DARK, lw=0.6)
    for arm, colour, marker, label in (
        ("young-known", BLUE, "^", "150 steps"),
        ("known", RED, "o", "800"),
    ):
        mean = found[found.arm == arm].groupby(["tag", "direction"])[["exact", "learned"]].mean()
        axes.plot(mean.exact, mean.learned, marker, color=colour, ms=2, label=label, alpha=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("exact P(cheats)", fontsize=4.5, labelpad=1)
    axes.set_ylabel("learned", fontsize=4.5, labelpad=1)
    axes.tick_params(labelsize=4)
    axes.legend(loc="upper left", fontsize=4, handletextpad=0.1, borderpad=0)


def analyse(records: Records) -> Analysis:
    """Figure, table and claims of the seeds that are finished."""
    table = tabulate(records)
    return Analysis(figure=draw(records, table), table=table, columns=COLUMNS, values=claims(table))
