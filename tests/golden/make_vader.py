"""Makes tests/golden/vader/ and the word lists of crates/serve-features/src/vader/ from the package vaderSentiment.

    python3 -m venv .venv && .venv/bin/pip install vaderSentiment==3.3.2 && .venv/bin/python tests/golden/make_vader.py

Python 3.8 to 3.11: from 3.12 on `sum` rounds less, and a few compounds differ in their last bits.

`cases.json` has a row a line: text, negative, neutral, positive, compound as the package rounds them, and the compound
unrounded. `long.json` has texts as a piece and how often it is repeated. The texts are the package's own examples, lists and
grids written here, and seeded random ones; crates/serve-features/tests/it/vader.rs must give the same scores.
"""

import ast
import importlib.metadata
import itertools
import json
import pathlib
import random
import re
import sys

from vaderSentiment import vaderSentiment as package

HERE = pathlib.Path(__file__).parent
OUT = HERE / "vader"
DATA = HERE.parent.parent / "crates/serve-features/src/vader"
analyzer = package.SentimentIntensityAnalyzer()


def write_lists():
    words = sorted(analyzer.lexicon.items())
    (DATA / "lexicon.txt").write_text("".join(f"{word}\t{mean!r}\n" for word, mean in words), "utf-8")
    # The package looks text up by code point, so longer emoji never match.
    emoji = sorted((e, d) for e, d in analyzer.emojis.items() if len(e) == 1)
    (DATA / "emoji.txt").write_text("".join(f"{e}\t{d}\n" for e, d in emoji), "utf-8")
    modifiers = [f"{word}\tdegree\t{by!r}" for word, by in package.BOOSTER_DICT.items()]
    modifiers += [f"{word}\tnegation" for word in package.NEGATE]
    modifiers += [f"{phrase}\tidiom\t{float(value)!r}" for phrase, value in package.SPECIAL_CASES.items()]
    (DATA / "modifiers.txt").write_text("".join(f"{line}\n" for line in sorted(modifiers)), "utf-8")
    files = importlib.metadata.files("vaderSentiment")
    licence = next(f for f in files if f.name == "LICENSE.txt").read_text()
    (DATA / "LICENSE-vader").write_text(licence.rstrip() + "\n", "utf-8")


def examples():
    """Every sentence of the package's demonstration, which is code under `if __name__ == "__main__"`."""
    tree = ast.parse(pathlib.Path(package.__file__).read_text("utf-8"))
    demo = next(node for node in tree.body if isinstance(node, ast.If))
    named = {"sentences", "tricky_sentences", "paragraph", "conceptList", "nonEnglish_sentences"}
    found = []
    for node in ast.walk(demo):
        if isinstance(node, ast.Assign) and node.targets[0].id in named:
            value = ast.literal_eval(node.value)
            found += [value] if isinstance(value, str) else value
    assert len(found) == 16 + 13 + 1 + 8 + 8 + 10, len(found)
    # The demonstration scores its paragraph by sentences.
    paragraph = next(text for text in found if len(text) > 150)
    return found + re.split(r"(?<=[.!?]) ", paragraph)


def grids():
    """Every rule at every distance, before and after what else may stand there."""
    some = ["good", "terrible"]
    for word, negation in itertools.product(some, ["not", "never", "isn't", "DIDN'T", "without", "nor", "hardly", "zzn'tzz"]):
        for before, between in [
            ("", ""),
            ("", "a "),
            ("it ", "a bit "),
            ("it was ", "so "),
            ("we ", "this "),
            ("", "what a big "),
        ]:
            yield f"{before}{negation} {between}{word}"
    for word, degree in itertools.product(some, ["very", "VERY", "kinda", "SLIGHTLY", "kind-of", "so", "Most"]):
        for between in ["", "big ", "big old ", "big old red ", "love ", "good "]:
            yield f"{degree} {between}{word}"
            yield f"a {degree} {between}{word.upper()} thing"
    for word, phrase in itertools.product(some, ["kind of", "sort of", "just enough", "KIND OF", "kind. of", "kind of of"]):
        for before, between in [("", ""), ("it is ", ""), ("it is ", "a "), ("it is a ", "a "), ("love that ", "")]:
            yield f"{before}{phrase} {between}{word}"
    for word, (before, after) in itertools.product(
        some,
        [
            ("least", ""),
            ("at least", ""),
            ("very least", ""),
            ("the least", "one"),
            ("it is the least", "of all"),
            ("at the very LEAST", ""),
            ("Least,", ""),
            ("least a", ""),
            ("not least", ""),
            ("the bad least", ""),
        ],
    ):
        yield f"{before} {word} {after}".strip()
    for word, before in itertools.product(
        [*some, "like"],
        [
            "no",
            "No",
            "NO",
            "no real",
            "no one is",
            "no bad",
            "no tea or",
            "no tea nor",
            "no tea and",
            "no no",
            "no good or",
            "there is no",
            "no.",
            "no way that is",
        ],
    ):
        yield f"{before} {word}"
    for word, stress in itertools.product(
        some,
        [
            "never so",
            "never this",
            "never ever so",
            "never so very",
            "so",
            "this",
            "SO",
            "is not so",
            "was it so",
            "it was never this",
            "never quite this",
        ],
    ):
        yield f"{stress} {word}"
        yield f"we said {stress} {word} again"
    for word, doubt in itertools.product(
        some, ["without doubt", "without a doubt", "without doubt a", "without any doubt,", "without the doubt", "without much"]
    ):
        yield f"{doubt} {word}"
        yield f"it is {doubt} {word}"
    for marks in [
        "",
        "!",
        "!!",
        "!!!",
        "!!!!",
        "!!!!!",
        "?",
        "??",
        "???",
        "????",
        "?????????",
        "?!",
        "!?!?",
        "!!!???",
        "¡",
        "！",
        "‽",
    ]:
        for text in ["good", "awful", "a chair", "good awful"]:
            yield f"{text}{marks}"
    for idiom in [
        "the shit",
        "the bomb",
        "bad ass",
        "badass",
        "bus stop",
        "yeah right",
        "kiss of death",
        "to die for",
        "beating heart",
        "cut the mustard",
        "in the red",
        "upper hand",
        "The BOMB",
        "bad-ass",
    ]:
        yield from (
            idiom,
            f"it is {idiom}",
            f"well it is really {idiom}",
            f"{idiom} it is, my friend",
            f"she said it is {idiom} again",
            f"they said it was not {idiom}!",
        )


# One a line; what a line cannot show is below.
OWN = (OUT / "texts.txt").read_text("utf-8").splitlines()

ESCAPED = [
    ";) ;-) =) =( :'( :'-( >:( <3 </3 \\o/ o.O O_o ^_^ :-| :/ :-/ :S",
    "great\u00a0news",
    "great\u2003bad\u2028good\u2029awful",
    "good\u0085bad",
    "good\u001cbad\u001dgreat\u001eawful\u001flove",
    "good\u200bbad",
    "good\u180ebad",
    "good\ufeff",
    "\ufeffgood",
    "good\u0000bad",
    "great\u0301",
    "li\u212ae",
    "LI\u212aE it",
    "\u212aiss of death",
    "you are a \u212aind of good",
    "\u0130rritating",
]

ODD = [
    "",
    " ",
    "\n",
    "\t \r\n",
    "\u00a0",
    "\u001c",
    "\u3000",
    " good",
    "good ",
    "\n good \n",
    "good\tbad\nlove\r\nhate\u000blike\u000cwin",
    "\u001cgood\u001f",
    "a" * 200,
    "good" * 40,
    "!" * 50,
    "good " * 30 + "but " + "bad " * 29,
    "x" * 19 + " good",
    "\\n good",
    "'\"\\",
    "!good",
    "?good?",
    "(:",
    "( '}{' )",
    "fed up",
    "'fed up'",
    "'screwed up'",
    "it was never so very good so good",
    "great but GREAT but great BUT",
    "1.9 1.9",
    "nan inf -inf",
]


def random_texts(count):
    rng = random.Random(20260101)
    rated = rng.sample(sorted(w for w in analyzer.lexicon if w.isalpha()), 150)
    emoticons = rng.sample(sorted(w for w in analyzer.lexicon if not any(c.isalnum() for c in w)), 40)
    degrees, negations = sorted(package.BOOSTER_DICT), sorted(package.NEGATE)
    cues = [
        "no",
        "so",
        "this",
        "never",
        "without",
        "doubt",
        "least",
        "at",
        "very",
        "or",
        "nor",
        "but",
        "kind",
        "of",
        "just",
        "enough",
        "the",
        "bomb",
        "shit",
        "bad",
        "ass",
        "yeah",
        "right",
        "bus",
        "stop",
        "to",
        "die",
        "for",
        "beating",
        "heart",
        "sort",
        "kiss",
        "death",
    ]
    plain = ["it", "is", "a", "day", "Bitcoin", "price", "we", "1", "went", "ok", "x"]
    emoji = ["😁", "💋", "👎", "❤️", "🚀", "😡", "中"]
    kinds = [rated, rated, rated, degrees, negations, cues, cues, plain, plain, emoticons, emoji]
    marks = ["!", "?", "!!", "???", ",", ".", "...", "'", ")", "-"]
    for _ in range(count):
        words = []
        for _ in range(rng.randint(1, 9)):
            word = rng.choice(rng.choice(kinds))
            word = rng.choice([word, word, word, word, word.upper(), word.title()])
            if rng.random() < 0.15:
                word += rng.choice(marks)
            if rng.random() < 0.03:
                word = rng.choice(marks) + word
            words.append(word)
        yield rng.choice([" ", " ", " ", " ", " ", "  ", "\n", "-"]).join(words)


LONG = [
    ("good bad ", 700),
    ("great but not this terrible! ", 300),
    ("😁 but 😡", 300),
    ("but good GOOD bad BAD very good very bad nice ", 120),
    ("a" * 500, 200),
    ("VERY ", 5000),
    ("!?", 5000),
    ("isn't the bomb ", 400),
    ("no ", 1000),
    ("\u3000", 5000),
    ("love ", 1500),
]


def score(text):
    rounded = analyzer.polarity_scores(text)
    package.round = lambda value, digits: value
    exact = analyzer.polarity_scores(text)
    del package.round
    return [rounded[name] for name in ("neg", "neu", "pos", "compound")] + [exact["compound"]]


def write(name, rows):
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (OUT / name).write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


def main():
    assert importlib.metadata.version("vaderSentiment") == "3.3.2"
    assert sys.version_info < (3, 12), "sum() rounds otherwise from Python 3.12 on"
    OUT.mkdir(exist_ok=True)
    write_lists()
    texts = list(dict.fromkeys([*examples(), *grids(), *OWN, *ESCAPED, *ODD]))
    print(len(texts), "texts of ours and the package's")
    texts = list(dict.fromkeys([*texts, *random_texts(2000)]))
    print(len(texts), "with random ones")
    write("cases.json", ([text, *score(text)] for text in texts))
    write("long.json", ([piece, times, *score(piece * times)] for piece, times in LONG))


if __name__ == "__main__":
    main()
