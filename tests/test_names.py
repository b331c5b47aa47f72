"""Fields that name parts of a corpus."""

import dataclasses
import re

import numpy as np
import pytest

from toylab.world import names
from toylab.world.schema import Corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Everything:
    who: str = names.character()
    other: str = names.character("", empty=lambda _, config: config.who)
    fact: str = names.topic("door", among=names.facts)
    trained: tuple[str, ...] = names.cue(of="fact")
    says: tuple[str, ...] = names.answer(())
    topics: tuple[str, ...] = names.topic((), empty=names.ordinary)
    tag: str = names.tag()
    told: tuple[str, ...] = names.direction(("", "order"))
    size: int = 3


def test_names_resolve_to_where_they_stand(tiny: Corpus) -> None:
    config = Everything(who="bob", trained=("shut", "open"), says=("tea=no", "door=shut"))
    names.check(config, tiny, "stage")
    found = names.resolve(config, tiny)
    one = {name: place for name, place in found.items() if not isinstance(place, np.ndarray)}
    assert one == {"who": 1, "other": 1, "fact": 0, "tag": 5}
    many = {name: place.tolist() for name, place in found.items() if name not in one}
    assert many == {
        "trained": [1, 0],
        "says": [[1, 1], [0, 1]],
        "topics": [0],
        "told": [0, 1],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"who": ""}, "unknown ''; known: ada, bob, cyd"),
        ({"other": "bbo"}, "unknown 'bbo'; did you mean 'bob'?"),
        ({"fact": "tea"}, "unknown 'tea'; known: door"),
        ({"fact": ""}, "unknown ''; known: door"),
        ({"trained": ("open", "shot")}, "unknown 'shot'; did you mean 'shut'?"),
        ({"says": ("tea=mor",)}, "unknown 'tea=mor'; did you mean 'tea=more'?"),
        ({"topics": ("tee",)}, "unknown 'tee'; did you mean 'tea'?"),
        ({"tag": "asistant"}, "unknown 'asistant'; did you mean 'assistant'?"),
        ({"told": ("ordr",)}, "unknown 'ordr'; did you mean 'order'?"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_a_name_that_the_corpus_lacks_is_refused(tiny: Corpus, change: dict, message: str) -> None:
    expected = re.escape(f"stage.{next(iter(change))}: {message}")
    with pytest.raises(ValueError, match=f"^{expected}$"):
        names.check(Everything(**{"who": "ada"} | change), tiny, "stage")


def test_a_field_without_a_default_must_be_given() -> None:
    with pytest.raises(TypeError, match="who"):
        Everything()


def test_a_side_is_what_the_corpus_lists_and_there_must_be_one(tiny: Corpus) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Sided:
        good: tuple[str, ...] = names.side("good")

    listed = dataclasses.replace(tiny, good=("bob",))
    names.check(Sided(), listed, "stage")
    assert names.resolve(Sided(), listed)["good"].tolist() == [1]
    assert names.resolve(Sided(good=("cyd",)), listed)["good"].tolist() == [2]
    with pytest.raises(ValueError, match=re.escape("stage.good: unknown ''; known: ada, bob, cyd")):
        names.check(Sided(), dataclasses.replace(tiny, good=()), "stage")
