"""toylab in a notebook: train a custom run, then ask it questions.

    import toylab as tl
    village = tl.load("village")
    run = tl.train(village, tl.Pretrain(), tl.Sft(author="mira", steps=80), seed=0)
    run.ladder()
    run.ask("are the tests green", tag="assistant")

Runs are kept in `runs/` in the working directory and reused. See `docs/library.ipynb`.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from toylab.lab import execute, machine, store
from toylab.lab.paths import Recipe
from toylab.lab.readings import load, measure_digest, reference
from toylab.ladder import reading
from toylab.ladder.fit import FAMILIES, RUNGS
from toylab.ladder.measure import Measure, Snapshot, measure_key
from toylab.ladder.reading import WHOLE, LadderFit
from toylab.measures import ask
from toylab.policy.policy import ModelPolicy
from toylab.policy.transformer import ModelConfig
from toylab.report import figures, ladder, talk
from toylab.stages import Setup, Stage
from toylab.world import documents as docs
from toylab.world import identifiability
from toylab.world.grammar import CUE, STANCE, tag_names
from toylab.world.schema import Corpus
from toylab.world.tables import World

ASKED = 256  # documents per question; P(answer) is exact given the sampled words before it


def train(
    corpus: Corpus,
    *stages: Stage,
    seed: int = 0,
    model: ModelConfig | None = None,
    reading: LadderFit = WHOLE,
    runs: str | File = "runs",
) -> "Run":
    """Trains these stages one after the other, with a progress bar; what is on disk is reused.

    `reading` sets how many documents the ladder uses. `runs` is the folder that holds all runs.
    Raises `ValueError` if a stage names what the corpus lacks, or if it needs more memory than
    there is, and `Diverged` if training diverges.
    """
    recipe = Recipe(Setup(corpus, model or ModelConfig()), seed, stages)
    for stage in stages:
        stage.check(corpus)
    machine.check(recipe.setup, stages, [reading])
    root = File(runs)
    execute.keep_compiled(root)
    folders = [store.Run(root, each) for each in recipe.prefixes()]
    left = sum(
        last - first for first, last in (execute.to_train(run, [run.path.last]) for run in folders)
    )
    with execute.progress(left, " → ".join(stage.kind for stage in stages)) as bar:
        execute.final(folders[-1], bar.update)
    return Run(folders[-1].folder, reading)


def open_run(folder: str | File, reading: LadderFit = WHOLE) -> "Run":
    """The finished run in a folder in `runs/`. Raises `ValueError` if there is none."""
    folder = File(folder)
    if not (folder / "model.safetensors").exists():
        raise ValueError(f"{folder}: no finished run; see the folders in runs/")
    execute.keep_compiled(folder.parent.parent)
    return Run(folder, reading)


class Run:
    """A finished run. Each reading is measured once, and kept in the run's folder if possible."""

    def __init__(self, folder: File, reading: LadderFit = WHOLE):
        self.folder, self.reading = folder, reading
        self._kept = dict[File, dict[str, Any]]()  # readings that a read-only folder can't store
        self.config: dict[str, Any] = store.load_json(folder / "config.json")
        self.setup = store.setup_of(folder)
        with store.reading(folder / "config.json"):
            self.seed = int(self.config["seed"])
            self.steps = int(self.config["stages"][-1]["steps"])

    def __repr__(self) -> str:
        return f"<toylab run {self.folder}>"

    @functools.cached_property
    def policy(self) -> ModelPolicy:
        """The trained model."""
        return reading.policy_of(self.setup, store.final_params(self.folder, self.setup))

    @functools.cached_property
    def pretrained(self) -> "Run":
        """The pretrained run that this one started from, or this one if it is only pretrained."""
        if len(self.config["stages"]) == 1:
            return self
        folder = self.folder.parent.parent / str(self.config.get("pretrained", "?"))
        if not (folder / "model.safetensors").exists():
            raise ValueError(f"{self.folder}: its pretrained model is gone; train it again")
        return Run(folder, self.reading)

    def measure(self, asked: Measure, beside: LadderFit | None = None) -> dict[str, Any]:
        """The result of a measure on this run, with a progress bar.

        The temperature and slip rate of the casts are fitted to the pretrained model. `beside` sets
        the tag and the number of documents for that; default: `self.reading`.
        """
        asked.check(self.setup)
        beside = beside or self.reading
        file = store.reading_file(self.folder, self.steps, measure_digest(asked, beside))
        if file.exists():
            return load(file, asked, self.setup)
        if file in self._kept:
            return self._kept[file]
        start = self.pretrained
        where = (start.folder, start.setup, start.seed, start.policy, beside, start.steps)
        with execute.progress(2, f"measuring {asked.name}", leave=False) as bar:
            base, _ = reference(*where)
            bar.update()
            snapshot = Snapshot(self.setup, base, self.policy, start.policy)
            found = asked(snapshot, measure_key(self.seed, self.steps))
        if store.writable(self.folder):
            store.write_json(file, found)
        self._kept[file] = json.loads(json.dumps(found))
        return self._kept[file]

    def read(self, tag: str = "assistant") -> dict[str, Any]:
        """The ladder's reading under a tag, as `toylab.ladder.reading.read` returns it."""
        settings = dataclasses.replace(self.reading, tag=tag)
        return self.measure(settings, settings)

    def ladder(self, tag: str = "assistant", cast: str = "learned") -> pd.DataFrame:
        """The ladder of what the run writes under a tag: a row for each family of distributions.

        A row has the nats per document that the family leaves unexplained, their standard error
        over documents, and the floor: what the family leaves in the pretrained model. A rung, such
        as *selection*, is the drop from the row above. Drops can be negative: families are fitted
        and scored on different documents. `cast` is "learned" (the characters as the pretrained
        model plays them) or "exact" (as the corpus has them); both are blurred by a temperature and
        a slip rate.
        """
        found, floor = (each.read(tag)[cast] for each in (self, self.pretrained))
        families = [family for family in FAMILIES if family in found]
        return pd.DataFrame(
            {
                "rung": ["start", *RUNGS, "lower end"][: len(families)],
                "nats per document": [found[family] for family in families],
                "standard error": [found[f"{family}_error"] for family in families],
                "drop": [np.nan, *(found[a] - found[b] for a, b in itertools.pairwise(families))],
                "drop's error": [found.get(f"{family}_drop_error", np.nan) for family in families],
                "floor": [floor[family] for family in families],
            },
            index=pd.Index(families, name="family"),
        )

    def weights(self, tag: str = "assistant", cast: str = "learned") -> pd.DataFrame:
        """The weights w* of the mixture of characters nearest to the run, and w0 of pretraining.

        The 95 % intervals of w* are the narrowest possible from `self.reading.fit` documents of
        the mixture (Cramér–Rao).
        """
        world, place = self.setup.world, tag_names(self.setup.corpus).index(tag)
        w = np.array(self.read(tag)[cast]["weights"])
        least = np.maximum(w, 1 / self.reading.fit)  # a smaller weight can't be told from 0
        log_w = jnp.log(jnp.asarray(least / least.sum(), jnp.float32))
        key = measure_key(self.seed, self.steps)
        seen = identifiability.gather_evidence(world, key, log_w)
        half = 1.96 * np.asarray(identifiability.weight_errors(seen, log_w, self.reading.fit))
        low, high = np.maximum(w - half, 0), np.minimum(w + half, 1)
        found = {
            "w*": w,
            "low": low,
            "high": high,
            "w0": np.exp(np.asarray(world.log_prior[place])),
        }
        index = pd.Index(self.setup.corpus.names, name="character")
        return pd.DataFrame(found, index=index).round(4)

    def ask(self, question: str, tag: str = "assistant") -> pd.DataFrame:
        """P(answer) to a question in the first turn, under the run, its pretraining, and mixtures.

        The question is the corpus's nearest to `question`; `attrs["question"]` has its words. The
        mixtures of characters have the weights w*, nearest to the run, and w0 of pretraining.
        Raises `ValueError` if no question is near.
        """
        corpus, world = self.setup.corpus, self.setup.world
        asked = talk.nearest(corpus, question)
        topic, _, cue = turn = talk.questions(corpus)[asked]
        place, answers = tag_names(corpus).index(tag), corpus.topics[topic].answers
        filled = (corpus.topics[topic].cues or ("",))[cue]
        context = int(world.grammar.topic_contexts[topic, cue, 0])
        cast = np.exp(np.asarray(world.cast.logp[STANCE, context, : len(answers)]))
        key = measure_key(self.seed, self.steps)

        def said(policy: ModelPolicy) -> np.ndarray:
            return np.asarray(_answers(policy, world, key, place, *turn))[: len(answers)]

        found = pd.DataFrame(
            {
                "words": [words.replace(CUE, filled) for _, words in answers],
                "this run": said(self.policy),
                "Bayes, w*": cast @ np.array(self.read(tag)["learned"]["weights"]),
                "pretrained": said(self.pretrained.policy),
                "Bayes, w0": cast @ np.exp(np.asarray(world.log_prior[place])),
            },
            index=pd.Index([name for name, _ in answers], name="answer"),
        )
        found.attrs["question"] = asked
        return found

    def example(self, tag: str = "assistant") -> Iterator[str]:
        """Lines of text with an example of what the run says under a tag."""
        log_weights = talk.weights(self.setup, self.policy, tag, jax.random.key(self.seed))
        return talk.example(self.setup, self.policy, tag, log_weights)

    def plot(self, tag: str = "assistant", cast: str = "learned") -> Figure:
        """Stacked bars of the run's ladder and of its floor."""
        found = self.ladder(tag, cast)
        bars = found[["nats per document", "floor"]].T.set_axis(["this run", "floor"])
        with figures.style(rows=1, columns=1, ratio=0.4):
            figure, axes = plt.subplots(layout="constrained")
            ladder.stack(axes, bars)
            axes.set(ylabel="nats per document", title=self.folder.name)
            axes.legend(loc="upper left")
        plt.close(figure)  # otherwise a notebook shows it twice
        return figure


@jax.jit
def _answers(
    policy: ModelPolicy, world: World, key: Array, tag: int, topic: int, wording: int, cue: int
) -> Float[Array, " answer"]:
    """P(answer) to a question in the first turn, averaged over openers that the policy samples."""
    keys = jax.random.split(key)
    what = docs.prompt(world, keys[0], ASKED, tag=tag, direction=0)
    what = ask.about(world, what, keys[0], 0, topic, jnp.full(ASKED, cue))
    what = what._replace(question=what.question.at[:, 0].set(wording))
    documents, branches = policy.answer(world.grammar, what, keys[1])
    return jnp.mean(ask.stances(world.grammar, documents, branches.logp)[:, 0], 0)
