"""Nonsense corpora and command lines, made from real ones."""

import random
import re
from collections.abc import Sequence

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "0.5", "1e-7", "1e39", "5e-324", "inf", "-inf", "nan", "-0.0"),
    *("1e400", "18446744073709551616", "9223372036854775808", "100000", "0x" + "f" * 400),
    *("9" * 4400, "0.1", "0.999999999999", "1.0000000000000002", "1e-300", "4294967296", "64"),
)
TEXTS = (
    *("", " ", "/abs", "../../up", "a/b", "a b", "{cue}", "now {cue}", "é", "\u202e", "\\u0000"),
    *("x" * 300, "y " * 20_000 + "y", "'", "-", "None", "true", "name", "assistant", "..", "\\n"),
)
VALUES = (
    *("[]", "{}", "[[]]", "true", "1979-05-27", "07:32:00", '{ a = 1, "b c" = 0.5 }', '["a", "a"]'),
    *("[" * 3000 + "]" * 3000, "{ a = " * 200 + "1" + " }" * 200, '[1, "a"]', "'''x'''"),
)
NUMBER = re.compile(r"(?<=[=\[,] )-?\d[\d.]*")
STRING = re.compile(r'"[^"\n]*"')
KEY = re.compile(r"(?<=[.\[{ \n])[a-z]\w*(?=[\]. ]|\s*=)")
PIECE = re.compile(r'"[^"\n]*"|[\w.]+|\[[^\[\]\n]*\]|\{[^{}\n]*\}|[^\w\s]|\n')


def corpus(text: str, draw: random.Random) -> bytes:
    """The text of a corpus file with a few pieces changed."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        text = draw.choice(CHANGES)(text, draw)
    content = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.04:
        cut, lines = content[: len(content) // 2], content.replace(b"\n", b"\r\n")
        content = draw.choice((b"\xef\xbb\xbf" + content, lines, b"", cut, content + b"\xff\x00"))
    return content


def _put(text: str, pattern: re.Pattern[str], news: Sequence[str], draw: random.Random) -> str:
    """The text with one match of a pattern replaced."""
    found = list(pattern.finditer(text))
    if not found:
        return text
    old = draw.choice(found)
    return text[: old.start()] + draw.choice(news) + text[old.end() :]


def _number(text: str, draw: random.Random) -> str:
    return _put(text, NUMBER, NUMBERS, draw)


def _string(text: str, draw: random.Random) -> str:
    others = STRING.findall(text) or ['""']
    return _put(text, STRING, [*(f'"{each}"' for each in TEXTS), *others[:40]], draw)


def _key(text: str, draw: random.Random) -> str:
    others = KEY.findall(text) or ["a"]
    return _put(text, KEY, [*others, '""', f'"{draw.choice(TEXTS)}"'], draw)


def _any(text: str, draw: random.Random) -> str:
    """Replaces a value by one of another type, or by another piece of the same text."""
    news = draw.choice((VALUES, PIECE.findall(text) or ("",)))
    return _put(text, draw.choice((PIECE, NUMBER, STRING)), news, draw)


def _line(text: str, draw: random.Random) -> str:
    """Drops, doubles or moves a line."""
    lines = text.splitlines(keepends=True) or [""]
    line, to = draw.randrange(len(lines)), draw.randrange(len(lines))
    kept = lines[:line] + lines[line + 1 :]
    doubled, moved = [*lines[:to], lines[line], *lines[to:]], [*kept[:to], lines[line], *kept[to:]]
    return "".join(draw.choice((kept, doubled, moved)))


def _many(text: str, draw: random.Random) -> str:
    """Repeats a line, or an entry of a list, thousands of times, each with another name."""
    lines, many = text.splitlines(keepends=True) or [""], draw.choice((100, 1000, 10_000))
    line = draw.randrange(len(lines))
    word = draw.choice(re.findall(r"[a-z]+", lines[line]) or ["a"])
    if draw.random() < 0.5:
        entries = ", ".join(f'"{word} {n}"' for n in range(many))
        return re.sub(r"\[\"[^\]]*\]", lambda _: f"[{entries}]", text, count=1)
    more = (re.sub(rf"\b{word}\b", f"{word}{n}", lines[line], count=1) for n in range(many))
    return "".join([*lines[:line], *more, *lines[line:]])


CHANGES = (_number, _number, _number, _string, _string, _key, _any, _line, _many)


def flags(known: Sequence[tuple[str, str]], draw: random.Random) -> list[str]:
    """A few flags with strange values; `known` are names and the types of values."""
    line: list[str] = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        name, kind = draw.choice(known)
        if draw.random() < 0.05:
            name = name[: draw.randrange(len(name) + 1)] + draw.choice(("x", "", ".", "--", "é"))
        value = draw.choice(NUMBERS if kind in ("int", "float") or draw.random() < 0.2 else TEXTS)
        value = draw.choice((value, value, value, value[:1], f"{value},{value}"))
        name = draw.choice(("--", "--", "--", "--", "-", "", "--no")) + name
        line += draw.choice(([f"{name}={value}"], [f"{name}={value}"], [name, value], [name]))
    return line
