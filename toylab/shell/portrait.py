"""A corpus in words and tables, as lines of text."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from tqdm import tqdm

from toylab.world import identifiability, tables
from toylab.world.grammar import STANCE, tag_names
from toylab.world.schema import Corpus, CorpusError, Direction, Tag, Topic, unknown

OWNER = "(a name)"  # stands for all tags that are their author's own name


def _percent(p: float, digits: int = 0) -> str:
    return f"{100 * p:z.{digits}f}%" if p <= 1 else "> 100%"


def _likely(bank: tuple[str, ...], p: tuple[float, ...], least: float = 0.05) -> str:
    """The phrases of at least this probability, likeliest first."""
    ranked = sorted(zip(p, bank, strict=True), reverse=True)
    return ", ".join(f"{phrase} {_percent(share)}" for share, phrase in ranked if share >= least)


def _behind(corpus: Corpus, prior: tuple[float, ...]) -> str:
    even = max(prior) - min(prior) < 1e-9
    return "anybody" if even else _likely(corpus.names, prior, 0.01)


def _columns(rows: Sequence[tuple[str, ...]], left: tuple[int, ...] = (0,)) -> list[str]:
    """Rows as aligned lines: the columns in `left` flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _headline(corpus: Corpus) -> str:
    controls = sum(topic.control for topic in corpus.topics)
    return (
        f"{corpus.title}: {len(corpus.characters)} characters, {len(corpus.topics)} topics "
        f"({controls} of them control{'s' * (controls != 1)}), {corpus.turns} turns a document"
    )


def show(corpus: Corpus) -> list[str]:
    """Tags, directions, coin, topics and cast."""

    def tag(t: Tag) -> list[tuple[str, str, str]]:
        rows = [(t.name, _percent(t.share), _behind(corpus, t.prior))]
        if t.later:
            since = f"from {_percent(t.since)} of pretraining on: "
            rows.append(("", "", since + _behind(corpus, t.later)))
        return rows

    def direction(d: Direction) -> tuple[str, str, str]:
        asks = ", ".join(f"{topic}: {answer}" for topic, answer in d.asks)
        return d.name, _percent(d.share), f'"{d.text}"' + (f" (asks {asks})" if asks else "")

    def topic(t: Topic) -> list[tuple[str, str, str]]:
        answers = ", ".join(f'{name} "{words}"' for name, words in t.answers)
        answers += "".join(f"; {cue} calls for {answer}" for cue, answer in t.calls_for)
        weight = "" if t.weight == 1 else f" x {t.weight:g}"
        name = t.name + (" *" if t.control else "") + weight
        first, *others = (f'"{question}"' for question in t.questions)
        return [(name, first, answers), *(("", question, "") for question in others)]

    lines = [
        _headline(corpus),
        f"slips {_percent(corpus.slip)}, plain {_percent(corpus.plain_share)}",
    ]
    named = ("name", _percent(corpus.name_share), "its owner")
    tags = [row for t in corpus.tags for row in tag(t)]
    lines += ["", "TAGS", *_columns([named, *tags], (0, 2))]
    if corpus.directions:
        lines += ["", "DIRECTIONS", *_columns([direction(d) for d in corpus.directions], (0, 2))]
    if corpus.coin:
        sides = [(side.name, f'"{side.words}"', ", ".join(side.topics)) for side in corpus.coin]
        lines += ["", "COIN (tossed from the second turn on)", *_columns(sides, (0, 1, 2))]
    asked = [row for t in corpus.topics for row in topic(t)]
    lines += ["", "TOPICS (* control, x weight)", *_columns(asked, (0, 1, 2))]
    lines += ["", "CAST"]
    for c in corpus.characters:
        lines += ["", f"{c.name}, {c.about}"]
        rows = [
            ("opens", _likely(corpus.openers, c.opens)),
            ("closes", _likely(corpus.closers, c.closes)),
        ]
        for t, traits in zip(corpus.topics, c.traits, strict=True):
            rows.append((t.name, _likely(t.answer_names, traits)))
        obeyed = zip(corpus.directions, c.obeys, strict=True)
        rows += [(f"obeys {d.name}", _percent(p)) for d, p in obeyed if p]
        followed = zip(corpus.topics, c.follows, strict=True)
        rows += [(f"follows {t.name}", _percent(p)) for t, p in followed if p]
        lines += ["  " + line for line in _columns(rows, (0, 1))]
    return lines


def check(corpus: Corpus, n: int, tag: str | None, seed: int) -> list[str]:
    """How well `n` documents under a tag identify the characters."""
    others, names = [t.name for t in corpus.tags], tag_names(corpus)
    tag = tag or ("assistant" if "assistant" in others else others[-1])
    if tag not in names:
        raise CorpusError(corpus.title, "--tag", unknown(tag, names))
    world = tables.build(corpus)
    prior = dict(zip(names, world.log_prior, strict=True))
    prior[OWNER] = jnp.log(jnp.full(len(corpus.names), 1 / len(corpus.names), jnp.float32))
    keys = jax.random.split(jax.random.key(seed))
    progress = tqdm([OWNER, *others], delay=2, leave=False, disable=None, desc="losses", unit="tag")
    losses = {name: identifiability.bayes_loss(world, keys[0], prior[name]) for name in progress}
    evidence = identifiability.gather_evidence(world, keys[1], prior[tag])
    limit = identifiability.detection_limit(evidence, prior[tag], n)
    error = identifiability.weight_errors(evidence, prior[tag], n)
    together = identifiability.divergence(world)
    stance = identifiability.divergence(world, (STANCE,))
    near = identifiability.nearest(together)

    lines = [f"{_headline(corpus)}; valid", "", "CHARACTERS"]
    rows = [("", "nearest", "voice", "stance", "turns", tag, "± read", "detected")]
    for k, name in enumerate(corpus.names):
        other = int(near.other[k])
        rows.append(
            (
                name,
                corpus.names[other],
                f"{together[k, other] - stance[k, other]:z.2f}",
                f"{stance[k, other]:z.2f}",
                f"{near.turns[k]:.1f}" if near.nats[k] > 0 else "never",
                _percent(float(jnp.exp(prior[tag][k])), 1),
                _percent(float(error[k]), 2),
                _percent(float(limit[k]), 2) if limit[k] <= 1 else "never",
            )
        )
    lines += _columns(rows, (0, 1))
    lines += [
        "voice, stance: nats per turn that tell a character from the nearest other.",
        "turns: how many it takes until the odds are 20 to 1.",
        f"± read: standard error of a weight in {tag}, if all are estimated from {n} documents.",
        "detected: smallest weight two standard errors above 0, if the others are known.",
        "",
        "TOPICS",
        *_topics(corpus, world),
        "reach: P(answer) of the character likeliest to give it, with the cue that suits it best.",
        "even off: KL(uniform over answers || nearest mixture) in nats, with the best cue.",
        "No mixture has a higher P(answer) or a lower KL, unless there is a direction.",
        "",
        "TAGS",
    ]
    share = {OWNER: corpus.name_share, **{t.name: t.share for t in corpus.tags}}
    costs = [("", "share", "Bayes loss", "author known", "told", "±", "of")]
    for name, loss in losses.items():
        known, best = f"{loss.entropy:z.3f}", f"{loss.bayes:z.3f}"
        told = [f"{nats:z.3f}" for nats in (loss.told, loss.error, loss.prior)]
        if name == OWNER:
            best, told = known, [""] * 3
        costs.append((name, _percent(share[name]), best, known, *told))
    lines += _columns(costs)
    lines.append("nats per answer token. told: nats a document tells of its author; of: maximum.")
    if any(t.later for t in corpus.tags):
        lines.append("Tags whose prior changes are as at the end of pretraining.")
    return lines


def _topics(corpus: Corpus, world: tables.World) -> list[str]:
    hull = identifiability.hull(world.cast)
    rows = [("", "reach", "even off")]
    for t, topic in enumerate(corpus.topics):
        cued = world.grammar.topic_contexts[t, : len(topic.cues) or 1, 0]
        reach = zip(topic.answer_names, hull.reach[STANCE, cued].max(0).tolist(), strict=False)
        told = ", ".join(f"{answer} {_percent(p)}" for answer, p in reach)
        rows.append((topic.name, told, f"{hull.even[STANCE, cued].min():z.3f}"))
    return _columns(rows, (0, 1))
