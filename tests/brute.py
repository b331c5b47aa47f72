"""The twin: a brute-force reference that lists every document of a corpus and sums over them.

It uses no tables of toylab. A phrase has the probability (1 - slip) * p + slip / size of its bank,
where p is what the corpus says, and a document the product of these. All else (beliefs,
predictions, divergences) is a sum over the documents that begin with the same words.
"""

import dataclasses
import itertools
import math

import numpy as np

from toylab.world.schema import CUE, Corpus

SLOTS = 3


@dataclasses.dataclass(frozen=True)
class Document:
    """A document without its tag. `likelihood[k]` is the probability of its answers under author k,
    and `asked` that of direction and questions. In `starts`, the tag is word 0."""

    direction: int
    asks: tuple[tuple[int, int, int], ...]  # (topic, question, cue) of each turn
    choice: tuple[tuple[int, ...], ...]
    words: tuple[str, ...]
    starts: tuple[tuple[int, ...], ...]
    asked: float
    likelihood: np.ndarray


def slot(corpus: Corpus, s: int, topic: int, cue: int, direction: int):
    """The bank of a slot and the probability of each phrase under each author, [P, K]."""
    about = corpus.topics[topic]
    if s == 1:
        bank = [words for _, words in about.answers]
        notes = np.array(
            [_stance(corpus, k, topic, cue, direction) for k in range(len(corpus.names))]
        )
    else:
        phrases = corpus.openers if s == 0 else corpus.closers
        usable = [i for i, phrase in enumerate(phrases) if about.cues or CUE not in phrase]
        bank, rows = [phrases[i] for i in usable], []
        for character in corpus.characters:
            voice = character.opens if s == 0 else character.closes
            own = [voice[i] for i in usable[1:]]
            rows.append(
                [corpus.plain_share, *((1 - corpus.plain_share) * p / sum(own) for p in own)]
            )
        notes = np.array(rows)
    if about.cues:
        bank = [phrase.replace(CUE, about.cues[cue]) for phrase in bank]
    return bank, ((1 - corpus.slip) * notes + corpus.slip / len(bank)).T


def _stance(corpus: Corpus, k: int, topic: int, cue: int, direction: int) -> list[float]:
    """A character's trait, changed as far as it follows the cue and obeys the direction."""
    about, character = corpus.topics[topic], corpus.characters[k]
    p = list(character.traits[topic])
    if about.cues and character.follows[topic]:
        f, called = character.follows[topic], about.cues[cue]
        for each, answer in about.calls_for:
            called = answer if each == about.cues[cue] else called
        p = [(1 - f) * q + f * (a == called) for q, a in zip(p, about.answer_names, strict=True)]
    if direction:
        wanted = dict(corpus.directions[direction - 1].asks).get(about.name)
        if wanted is not None:
            o = character.obeys[direction - 1]
            p = [
                (1 - o) * q + o * (a == wanted) for q, a in zip(p, about.answer_names, strict=True)
            ]
    return p


def tag_prior(corpus: Corpus, tag: str) -> np.ndarray:
    """The prior of a tag over authors; if it is a name, its owner."""
    if tag in corpus.names:
        return np.array([float(name == tag) for name in corpus.names])
    return np.array(next(t.prior for t in corpus.tags if t.name == tag))


def tag_shares(corpus: Corpus) -> dict[str, float]:
    """The share of documents under each tag."""
    names = {name: corpus.name_share / len(corpus.names) for name in corpus.names}
    return names | {tag.name: tag.share for tag in corpus.tags}


def _toss(corpus: Corpus, topic: str, first: bool) -> tuple[list[str], float]:
    """What comes before a question on this topic, and how likely the topic is."""
    weight = {other.name: other.weight for other in corpus.topics}
    if first or not corpus.coin:
        return [], weight[topic] / sum(weight.values())
    side = next(side for side in corpus.coin if topic in side.topics)
    chance = weight[topic] / sum(weight[other] for other in side.topics)
    return side.words.split(), chance / len(corpus.coin)


def _turns(corpus: Corpus, direction: int, first: bool):
    """Every possible turn: what is asked, with its probability, and what is answered."""
    for t, topic in enumerate(corpus.topics):
        cues = topic.cues or ("",)
        tossed, chance = _toss(corpus, topic.name, first)
        for (q, question), (c, cue) in itertools.product(
            enumerate(topic.questions), enumerate(cues)
        ):
            asked = chance / (len(topic.questions) * len(cues))
            question_words = tossed + question.replace(CUE, cue).split()
            slots = [slot(corpus, s, t, c, direction) for s in range(SLOTS)]
            for choice in itertools.product(*(range(len(bank)) for bank, _ in slots)):
                words, starts, likelihood = list(question_words), [], np.ones(len(corpus.names))
                for (bank, p), i in zip(slots, choice, strict=True):
                    starts.append(len(words))
                    words += bank[i].split()
                    likelihood = likelihood * p[i]
                yield (t, q, c), choice, words, starts, asked, likelihood


class Brute:
    """All documents of a corpus, and what follows by summing over them.

    Prefixes of documents are numbered; `reach[n, k]` is the probability that a document of author k
    begins with prefix n (the tag apart). Arrays over documents D, turns T, slots S, words J of the
    slot's phrase and vocabulary V have the prefix at each place, or -1 if there is none.
    """

    def __init__(self, corpus: Corpus, vocabulary: tuple[str, ...]):
        self.corpus, self.vocabulary = corpus, vocabulary
        self.documents: list[Document] = []
        shares = [
            1 - sum(d.share for d in corpus.directions),
            *(d.share for d in corpus.directions),
        ]
        for d, share in enumerate(shares):
            first = corpus.directions[d - 1].text.split() if d else []
            each = [list(_turns(corpus, d, first=t == 0)) for t in range(corpus.turns)]
            for turns in itertools.product(*each):
                words, starts, asked, likelihood = list(first), [], share, 1.0
                for _, _, said, begins, chance, p in turns:
                    starts.append(tuple(1 + len(words) + begin for begin in begins))
                    words += said
                    asked, likelihood = asked * chance, likelihood * p
                self.documents.append(
                    Document(
                        direction=d,
                        asks=tuple(turn[0] for turn in turns),
                        choice=tuple(turn[1] for turn in turns),
                        words=tuple(words),
                        starts=tuple(starts),
                        asked=asked,
                        likelihood=np.asarray(likelihood),
                    )
                )
        self.likelihood = np.array([d.likelihood for d in self.documents])
        self.asked = np.array([d.asked for d in self.documents])
        self._sum()

    def _sum(self) -> None:
        number: dict[tuple[str, ...], int] = {}
        reach: list[np.ndarray] = []
        after: dict[int, dict[int, int]] = {}
        token = {word: i for i, word in enumerate(self.vocabulary)}
        paths = []
        for document in self.documents:
            path = []
            for n in range(len(document.words) + 1):
                prefix = document.words[:n]
                if prefix not in number:
                    number[prefix] = len(reach)
                    reach.append(np.zeros(len(self.corpus.names)))
                if n:
                    after.setdefault(path[-1], {})[token[document.words[n - 1]]] = number[prefix]
                path.append(number[prefix])
                reach[path[-1]] += document.asked * document.likelihood
            paths.append(path)
        self.reach = np.array(reach)
        self.paths, self.after = paths, after
        size, turns = len(self.documents), self.corpus.turns
        # All banks of `tiny` have phrases of at most two words, and tries that branch at both.
        self.prefix = np.zeros((size, turns, SLOTS, 3), int)
        self.following = np.full((size, turns, SLOTS, 2, len(self.vocabulary)), -1)
        for n, (document, path) in enumerate(zip(self.documents, paths, strict=True)):
            ends = [*itertools.chain(*document.starts)][1:]
            for i, start in enumerate(itertools.chain(*document.starts)):
                t, s = divmod(i, SLOTS)
                if s < SLOTS - 1:
                    length = ends[i] - start
                else:  # a closer ends with its phrase
                    topic, _, cue = document.asks[t]
                    bank, _ = slot(self.corpus, s, topic, cue, document.direction)
                    length = len(bank[document.choice[t][s]].split())
                for j in range(3):
                    self.prefix[n, t, s, j] = path[start - 1 + min(j, length)]
                for j in range(length):
                    for word, child in after[path[start - 1 + j]].items():
                        self.following[n, t, s, j, word] = child

    def posterior(self, prior: np.ndarray) -> np.ndarray:
        """Who is speaking, after 0, 1, … words of each slot: [D, T, S, W+1, K]."""
        joint = prior * self.reach[self.prefix]
        return joint / joint.sum(-1, keepdims=True)

    def predictive(self, weights: np.ndarray) -> np.ndarray:
        """Probability of every next word at every word of every slot: [D, T, S, J, V]."""
        now = (self.reach[self.prefix] @ weights)[..., :2, None]
        following = np.where(self.following >= 0, (self.reach @ weights)[self.following], 0.0)
        return following / now

    def next_word(self, weights: np.ndarray) -> np.ndarray:
        """Probability of every word after each word of each document, the tag first: [D, L, V]."""
        longest = max(len(path) for path in self.paths)
        out = np.zeros((len(self.paths), longest, len(self.vocabulary)))
        reach = self.reach @ weights
        for n, path in enumerate(self.paths):
            for t, prefix in enumerate(path[:-1]):
                for word, child in self.after[prefix].items():
                    out[n, t, word] = reach[child] / reach[prefix]
        return out

    def entropy(self, weights: np.ndarray) -> np.ndarray:
        """Entropy of each of those predictions, in nats: [D, T, S, J]."""
        p = self.predictive(weights)
        return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), -1)

    def prompt(self, direction: int, asks: tuple[tuple[int, int, int], ...]) -> np.ndarray:
        """The documents with this direction and these questions, as a mask."""
        return np.array([d.direction == direction and d.asks == asks for d in self.documents])

    def kl(self, p: np.ndarray, q: np.ndarray, which: np.ndarray) -> float:
        """KL(m_p ‖ m_q) of the answers to one prompt, by summing over its documents."""
        left, right = self.likelihood[which] @ p, self.likelihood[which] @ q
        assert math.isclose(left.sum(), 1.0, rel_tol=1e-9)
        return float(np.sum(left * np.log(left / right)))

    def surprise(self, weights: np.ndarray, which: np.ndarray) -> float:
        """Entropy of the answers to one prompt: the least loss that any model can have."""
        p = self.likelihood[which] @ weights
        return float(-np.sum(p * np.log(p)))
