"""From the TOML of a corpus file to a `Corpus`."""

from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from toylab.world.check import check
from toylab.world.schema import (
    Character,
    Corpus,
    Direction,
    Phrase,
    Share,
    Side,
    Tag,
    Topic,
    Words,
    unknown,
)
from toylab.world.toml import Table, keys

KEYS = (
    *("title", "turns", "slip", "good", "bad", "plain", "tags", "directions", "topics"),
    *("characters", "coin"),
)
NUMBERS = 10**7  # how many probabilities all characters may have together
OWN = "name"  # the entry of [tags] for documents whose tag is their author's name


def parse(content: Mapping[str, Any], source: str) -> Corpus:
    """The corpus that TOML describes; `source` is its file. Raises `CorpusError`."""
    top = Table(source, "", content, KEYS)
    plain = top.table("plain", ("share", "opens", "closes"))
    cast = top.each("characters", set(keys(Character)) - {"obeys"}, least=2)
    told = top.each("directions", (*keys(Direction), "obeys"))
    tags, own = top.each("tags", keys(Tag)), top.table("tags").table(OWN, ("share",))
    asked = top.each("topics", keys(Topic), least=1)
    topics = tuple(_topic(name, asked) for name in asked)
    openers, closers = (_bank(plain, key, cast.values()) for key in ("opens", "closes"))
    phrases = len(openers) + len(closers) + sum(len(topic.answers) for topic in topics)
    fix = f"{len(cast)} of them with {phrases} phrases to choose from are too many; have fewer"
    top.require(len(cast) * (phrases + len(told)) <= NUMBERS, "characters", fix)
    obeys = [table.table("obeys", cast) for table in told.values()]

    def tag(name: str, table: Table) -> Tag:
        names, changes = list(cast), table.content.get("later")
        prior = table.distribution("prior", names, "character")
        later = table.distribution("later", names, "character") if changes else ()
        return table.build(Tag, name=name, prior=prior, later=later)

    def character(name: str, table: Table) -> Character:
        traits = table.table("traits", [topic.name for topic in topics])
        follows = table.table("follows", [topic.name for topic in topics if topic.cues])
        return table.build(
            Character,
            name=name,
            opens=(0.0, *table.distribution("opens", openers[1:], "opener")),
            closes=(0.0, *table.distribution("closes", closers[1:], "closer")),
            traits=tuple(traits.distribution(t.name, t.answer_names, "answer") for t in topics),
            obeys=tuple(each.get(name, Share, 0.0) for each in obeys),
            follows=tuple(follows.get(topic.name, Share, 0.0) for topic in topics),
        )

    corpus: Corpus = top.build(
        Corpus,
        plain_share=plain.get("share", Share),
        openers=openers,
        closers=closers,
        topics=topics,
        directions=tuple(table.build(Direction, name=name) for name, table in told.items()),
        name_share=own.get("share", Share, 0.0),
        tags=tuple(tag(name, table) for name, table in tags.items() if name != OWN),
        characters=tuple(character(name, table) for name, table in cast.items()),
        coin=tuple(t.build(Side, name=n) for n, t in top.each("coin", keys(Side)).items()),
    )
    check(corpus, source)
    return corpus


def _topic(name: str, asked: Mapping[str, Table]) -> Topic:
    """A topic. With `answers_of`, answers that it does not list have the other topic's words."""
    table = asked[name]
    of = table.get("answers_of", str, "")
    if not of:
        return table.build(Topic, name=name)
    others = [each for each in asked if each != name]
    table.require(of in others, "answers_of", unknown(of, others))
    borrowed = asked[of].content.get("answers_of")
    fix = f"{of!r} has the answers of {borrowed!r}; name that one"
    table.require(not borrowed, "answers_of", fix)
    hint = get_type_hints(Topic, include_extras=True)["answers"]
    theirs, own = dict(asked[of].get("answers", hint)), dict(table.get("answers", hint, ()))
    for answer in own:
        table.require(answer in theirs, f"answers.{answer}", unknown(answer, theirs))
    return table.build(Topic, name=name, answers=tuple((theirs | own).items()))


def _bank(plain: Table, key: str, cast: Iterable[Table]) -> tuple[str, ...]:
    """The plain phrase, then the characters' phrases, in the order of the file."""
    bank = [plain.get(key, Words)]
    for table in cast:
        voice = table.table(key)
        table.require(voice.content, key, "a character needs a voice; give at least one phrase")
        for phrase in voice.content:
            voice.read(phrase, phrase, Phrase)
            fix = "is the plain phrase, which all characters share; drop it"
            voice.require(phrase != bank[0], phrase, fix)
            bank.append(phrase)
    return tuple(dict.fromkeys(bank))
