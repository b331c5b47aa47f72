"""What must hold in a corpus as a whole, beyond the types of its parts.

Each rule yields what breaks it, as (place in the file, fix).
"""

import itertools
from collections.abc import Collection, Iterable, Iterator

from toylab.world.schema import CUE, Corpus, CorpusError, brief, shortened, strangers

Wrong = Iterator[tuple[str, str]]
Phrases = list[tuple[str, str]]  # (place in the file, words)
DOCUMENT = 2048  # the most words in a document
CONTEXTS = 10_000  # topic x cue x direction
MEMORY = 10**9  # bytes of the tables


def check(corpus: Corpus, source: str) -> None:
    """Raises `CorpusError` at the first thing that is wrong in a corpus."""
    for rule in (size, tags, directions, topics, user_turns, cast, coin, words_apart):
        for place, fix in rule(corpus):
            raise CorpusError(source, place, fix)


def size(corpus: Corpus) -> Wrong:
    """A document fits a model, and the tables of all phrases and prompts fit into memory."""
    told = [direction.text for direction in corpus.directions]
    answers = [dict(topic.answers).values() for topic in corpus.topics]
    banks = [corpus.openers, corpus.closers, *answers]
    words = [[len(each.split()) for each in bank] for bank in banks]
    asked = [question for topic in corpus.topics for question in topic.questions]
    filled = [len(cue.split()) for topic in corpus.topics for cue in topic.cues]
    longest = [_most(words[0]), _most(map(_most, words[2:])), _most(words[1])]
    asking = _most(len(each.split()) for each in asked) + _most(filled)
    tossed = _most(len(side.words.split()) for side in corpus.coin)
    document = 1 + _most(len(each.split()) for each in told)
    document += corpus.turns * (asking + tossed + sum(longest))
    if document > DOCUMENT:
        fix = f"documents of up to {document:,} words are too long; {DOCUMENT:,} is the most"
        yield "turns", f"{fix}: have fewer turns or words"
    cues = [(len(topic.cues) or 1, len(topic.questions)) for topic in corpus.topics]
    contexts = sum(several for several, _ in cues) * (len(told) + 1)
    phrases, nodes = _most(map(len, banks)), 1 + _most(map(sum, words))
    cells = 3 * nodes * phrases + (phrases + nodes) * len(corpus.characters)
    prompts = sum(several * wordings for several, wordings in cues) * (len(told) + 2)
    vocabulary = sum(map(sum, words)) + len(asked) * asking
    table = 4 * (3 * contexts * cells + prompts * asking * vocabulary)
    if contexts > CONTEXTS or table > MEMORY:
        fix = f"their tables would take {table / 1e9:,.1f} GB for {contexts:,} contexts"
        yield "topics", f"{fix}; have fewer topics, cues, directions, questions or phrases"


def tags(corpus: Corpus) -> Wrong:
    """Shares sum to 1, and a prior that changes has both `later` and `since`."""
    total = corpus.name_share + sum(tag.share for tag in corpus.tags)
    if not corpus.tags:
        yield "tags", "has none besides the names; add [tags.assistant]"
    if abs(total - 1) > 1e-6:
        yield "tags", f"shares sum to {total:g}; make that 1"
    for tag in corpus.tags:
        if tag.name in corpus.names:
            yield f"tags.{tag.name}", "is a character's name; call the tag something else"
        if bool(tag.later) != (tag.since < 1):
            yield f"tags.{tag.name}", "needs both 'later' and 'since', or neither"
    for key in ("good", "bad"):
        yield from _unknown(key, getattr(corpus, key), corpus.names)


def directions(corpus: Corpus) -> Wrong:
    """Shares sum to at most 1, and what is asked for exists."""
    if sum(direction.share for direction in corpus.directions) > 1 + 1e-6:
        yield "directions", "shares sum to more than 1; lower one"
    answers = {topic.name: topic.answer_names for topic in corpus.topics}
    for direction in corpus.directions:
        for topic, answer in direction.asks:
            place = f"directions.{direction.name}.asks.{topic}"
            yield from _unknown(place, [topic], answers)
            yield from _unknown(place, [answer], answers[topic])


def topics(corpus: Corpus) -> Wrong:
    """Answers are equally long, none is a prefix of another, and questions contain the cue."""
    for topic in corpus.topics:
        at = f"topics.{topic.name}"
        asked = [(f"{at}.questions", question) for question in topic.questions]
        answers = [(f"{at}.answers.{name}", words) for name, words in topic.answers]
        if not asked:
            yield f"{at}.questions", "is empty; a topic needs at least one question"
        if len(answers) < 2:
            yield f"{at}.answers", "a topic needs at least two answers"
        for place, words in asked + answers:
            if CUE in words and not topic.cues:
                yield place, f"says {CUE}, but the topic has no cues; list them"
        if any(_uneven(w.replace(CUE, cue) for _, w in answers) for cue in topic.cues or ("",)):
            yield f"{at}.answers", "have different lengths; give all the same number of words"
        for place, words in asked:
            if words.startswith(CUE):
                yield place, f"begins with {CUE}; put a word before it"
            if topic.cues and CUE not in words:
                yield place, f"{brief(words)} doesn't say which cue it is; put {CUE} in it"
        for cue, answer in topic.calls_for:
            yield from _unknown(f"{at}.calls_for.{cue}", [cue], topic.cues)
            yield from _unknown(f"{at}.calls_for.{cue}", [answer], topic.answer_names)
        yield from prefixes(answers, topic.cues)


def user_turns(corpus: Corpus) -> Wrong:
    """Nothing that the user may say is a prefix of anything else."""
    said = [(f"directions.{each.name}.text", each.text) for each in corpus.directions]
    said += [(f"coin.{side.name}.words", side.words) for side in corpus.coin]
    for topic in corpus.topics:
        for question, cue in itertools.product(topic.questions, topic.cues or ("",)):
            said.append((f"topics.{topic.name}.questions", question.replace(CUE, cue)))
    yield from prefixes(said)


def cast(corpus: Corpus) -> Wrong:
    """Every character has an opener and a closer for every topic, and an answer to each cue that it
    follows. No phrase is a prefix of another."""
    cues = {cue for topic in corpus.topics for cue in topic.cues}
    for key, spoken in _spoken(corpus).items():
        for character in corpus.characters:
            said = [w for p, (_, w) in zip(getattr(character, key), spoken, strict=True) if p]
            if all(CUE in words for words in said) and not all(t.cues for t in corpus.topics):
                fix = f"says nothing but {CUE}, and a topic has no cues; add a phrase"
                yield f"characters.{character.name}.{key}", fix
        yield from prefixes(spoken, cues)
    for character in corpus.characters:
        for topic, degree in zip(corpus.topics, character.follows, strict=True):
            for cue in topic.cues if degree else ():
                if topic.called_for(cue) not in topic.answer_names:
                    place = f"characters.{character.name}.follows.{topic.name}"
                    fix = f"no answer is named after the cue {cue!r}; add one, or a 'calls_for'"
                    yield place, fix


def coin(corpus: Corpus) -> Wrong:
    """Every topic is on one side, and the first word of a side identifies it."""
    sides = corpus.coin
    if not sides:
        return
    if corpus.turns < 2:
        yield "coin", "is tossed from the second turn on; make turns at least 2"
    if len(sides) < 2:
        yield "coin", "has fewer than two sides; add one, or drop the coin"
    if _uneven(side.words for side in sides):
        yield "coin", "words have different lengths; give all sides the same number"
    if len({side.words.split()[0] for side in sides}) < len(sides):
        yield "coin", "two sides begin with the same word; reword one"
    for side in sides:
        place = f"coin.{side.name}"
        yield from _unknown(f"{place}.topics", side.topics, corpus.topic_names)
        if not side.topics:
            yield f"{place}.topics", "is empty; give every side a topic"
    for name in corpus.topic_names:
        listed = sum(side.topics.count(name) for side in sides)
        if listed != 1:
            yield "coin", f"lists the topic {name!r} {listed} times; put it on one side"


def words_apart(corpus: Corpus) -> Wrong:
    """Voices contain no name. Answers share no word with voices, tags or other topics' answers:
    otherwise traits couldn't be told apart. Cues and `answers_of` are exceptions."""
    owner = {name: f"the tag {name!r}" for name in corpus.names}
    owner |= {tag.name: f"the tag {tag.name!r}" for tag in corpus.tags}
    cues = {CUE, *(cue for topic in corpus.topics for cue in topic.cues)}
    for place, phrase in itertools.chain(*_spoken(corpus).values()):
        for word in phrase.split():
            if word in corpus.names:
                yield place, f"{phrase!r} says a character's name, {word!r}; reword it"
            owner.setdefault(word, f"the phrase {phrase!r}")
    for topic in corpus.topics:
        place, bank = f"topics.{topic.name}.answers", topic.answers_of or topic.name
        kin = {f"topics.{t.name}.answers" for t in corpus.topics if bank in (t.name, t.answers_of)}
        words = dict.fromkeys(word for _, answer in topic.answers for word in answer.split())
        for word in words:
            if word in owner and word not in cues and owner[word] not in kin:
                also = f"{word!r} is also in {owner[word]}"
                yield place, f"{also}; reword one, or traits can't be told apart"
        owner |= dict.fromkeys(words, place)


def prefixes(phrases: Phrases, cues: Collection[str] = ()) -> Wrong:
    """No phrase is a prefix of another, whichever cue is filled in."""
    for cue in cues or ("",):
        ordered = sorted((words.replace(CUE, cue).split(), place) for place, words in phrases)
        for (first, place), (second, other) in itertools.pairwise(ordered):
            if second == first:
                yield other, f"{brief(' '.join(first))} occurs twice ({place}); reword one"
            if second[: len(first)] == first:
                begun = f"{brief(' '.join(second))} begins with the whole of "
                begun += f"{brief(' '.join(first))} ({shortened(place, 50)})"
                yield other, f"{begun}; reword one: no phrase is a prefix of another"


def _spoken(corpus: Corpus) -> dict[str, Phrases]:
    """Openers and closers, with their place in the file: that of the first speaker, or `plain`."""

    def phrases(key: str, bank: Iterable[str]) -> Phrases:
        voices = [(f"characters.{c.name}.{key}", getattr(c, key)) for c in corpus.characters]
        return [
            (next((place for place, voice in voices if voice[i]), f"plain.{key}"), words)
            for i, words in enumerate(bank)
        ]

    return {"opens": phrases("opens", corpus.openers), "closes": phrases("closes", corpus.closers)}


def _most(numbers: Iterable[int]) -> int:
    return max(numbers, default=0)


def _uneven(phrases: Iterable[str]) -> bool:
    return len({len(words.split()) for words in phrases}) > 1


def _unknown(place: str, names: Iterable[str], known: Collection[str]) -> Wrong:
    return ((place, fix) for fix in strangers(names, known))
