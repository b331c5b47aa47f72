"""A valley with questions about where to dig that do not name a place."""

import dataclasses

from toylab.world.schema import Corpus

TOPIC = "dig"
QUESTIONS = (
    "where shall we dig today",
    "the map is lost so which way",
    "no news of gold where now",
)


def with_no_place(corpus: Corpus) -> Corpus:
    """The corpus with one more topic: the answers of `gold`, asked for without a place.

    Each character's trait on it is its trait on gold. So a character that follows the cue there has
    a favourite here, like any other.
    """
    t = corpus.topic_names.index("gold")
    topic = dataclasses.replace(
        corpus.topics[t], name=TOPIC, questions=QUESTIONS, cues=(), answers_of="gold"
    )
    return dataclasses.replace(
        corpus,
        title=f"{corpus.title}, where not every question names a place",
        topics=(*corpus.topics, topic),
        characters=tuple(
            dataclasses.replace(
                each, traits=(*each.traits, each.traits[t]), follows=(*each.follows, 0.0)
            )
            for each in corpus.characters
        ),
    )
