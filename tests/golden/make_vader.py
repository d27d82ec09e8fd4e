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
    return found


def grids():
    """Every rule at every distance, before and after what else may stand there."""
    some = ["good", "terrible"]
    for word, negation in itertools.product(some, ["not", "never", "isn't", "DIDN'T", "without", "nor", "hardly", "zzn'tzz"]):
        for before, between in [("", ""), ("", "a "), ("it ", "a bit "), ("it was ", "so "), ("we ", "this "), ("", "what a big ")]:
            yield f"{before}{negation} {between}{word}"
    for word, degree in itertools.product(some, ["very", "VERY", "kinda", "SLIGHTLY", "kind-of", "so", "Most"]):
        for between in ["", "big ", "big old ", "big old red ", "love ", "good "]:
            yield f"{degree} {between}{word}"
            yield f"a {degree} {between}{word.upper()} thing"
    for word, phrase in itertools.product(some, ["kind of", "sort of", "just enough", "KIND OF", "kind. of", "kind of of"]):
        for before, between in [("", ""), ("it is ", ""), ("it is ", "a "), ("it is a ", "a "), ("love that ", "")]:
            yield f"{before}{phrase} {between}{word}"
    for word, (before, after) in itertools.product(some, [
            ("least", ""), ("at least", ""), ("very least", ""), ("the least", "one"), ("it is the least", "of all"),
            ("at the very LEAST", ""), ("Least,", ""), ("least a", ""), ("not least", ""), ("the bad least", "")]):
        yield f"{before} {word} {after}".strip()
    for word, before in itertools.product([*some, "like"], [
            "no", "No", "NO", "no real", "no one is", "no bad", "no tea or", "no tea nor", "no tea and", "no no", "no good or",
            "there is no", "no.", "no way that is"]):
        yield f"{before} {word}"
    for word, stress in itertools.product(some, ["never so", "never this", "never ever so", "never so very", "so", "this", "SO",
                                                  "is not so", "was it so", "it was never this", "never quite this"]):
        yield f"{stress} {word}"
        yield f"we said {stress} {word} again"
    for word, doubt in itertools.product(some, ["without doubt", "without a doubt", "without doubt a", "without any doubt,",
                                                "without the doubt", "without much"]):
        yield f"{doubt} {word}"
        yield f"it is {doubt} {word}"
    for marks in ["", "!", "!!", "!!!", "!!!!", "!!!!!", "?", "??", "???", "????", "?????????", "?!", "!?!?", "!!!???", "¡", "！", "‽"]:
        for text in ["good", "awful", "a chair", "good awful"]:
            yield f"{text}{marks}"
    for idiom in ["the shit", "the bomb", "bad ass", "badass", "bus stop", "yeah right", "kiss of death", "to die for",
                  "beating heart", "cut the mustard", "in the red", "upper hand", "The BOMB", "bad-ass"]:
        yield from (idiom, f"it is {idiom}", f"well it is really {idiom}", f"{idiom} it is, my friend",
                    f"she said it is {idiom} again", f"they said it was not {idiom}!")


OWN = """
I love it
I don't love it, but I do not hate it either
It was good, but it was bad, but it was good
good but good
good good but good good
good but good good good
great but good nice fine
bad but worse but the worst BUT fine
but good
good but
But
but, good. But: bad
nice nice nice but awful awful nice awful
terrible terrible but terrible
superb but terrible, superb but terrible!!
love hate love but hate love hate
it's good but it's not that good, however it's not bad
GOOD
GOOD GOOD
good GOOD
GOOD day
a GOOD day
A GOOD DAY
A B C good
NOT GOOD
NOT good
not GOOD at all
THE BEST thing, the WORST thing
This is NOT a scam!!!
NO good
no GOOD
No
NO
no
no!
no, thanks
no problem
no no no
NO PROBLEM at all
l
L l
I
a
:)
:-)
:(
:-(
:D
:d
:-D
:P :-P xD XD x-d X-D
;) ;-) =) =( :'( :'-( >:( <3 </3 \\o/ o.O O_o ^_^ :-| :/ :-/ :S
good:)
good :)
(good)
((good))
"good"
'good'
*good* _good_ ~good~
...good...
good.bad
good,bad
good-bad
good/bad
self-confident and well-liked
good- -bad
--good--
mother-in-law is a well-respected problem-solver
ok
(ok)
ok!
"ok"
ok.
:ok
go
a+
wow
WOW!!!
lol
LOL
lol!
rofl lmao wtf smh fml omg
lmfao, that sux
it sux, kinda
friggin awesome
FRIGGIN awesome
uber cool
hella bad
effing great
fucking great
fucking terrible
FUCKING terrible
so so good
so so so bad
so good so bad
most so good
very very very good
VERY VERY VERY good
not very good
very not good
not not good
not not not good
never never good
never good
never so good
never so bad
never been so good
never been this good
never was this bad
never did I see such a good film
rarely good
seldom bad
despite good efforts
despite the very good efforts
nothing good
nowhere near good
neither good nor bad
none of it is good
cannot recommend
can't stand
I can't stand it
can't stand the good
couldn't be better
couldn't care less
shouldn't have been so bad
wouldn't hurt
won't fail
wont fail
ain't nothing but love
aint bad
uh-uh good
uhuh bad
isn’t good
isn't good
doesn‘t fail
“good” and ‘bad’
«good» „bad“
good…
good— bad
good—bad
good–bad
great　news
great\u00a0news
great\u2003bad\u2028good\u2029awful
good\u0085bad
good\u001cbad\u001dgreat\u001eawful\u001flove
good\u200bbad
good\u180ebad
good\ufeff
\ufeffgood
good\u0000bad
great\u0301
li\u212ae
LI\u212aE it
\u212aiss of death
you are a \u212aind of good
\u0130rritating
GOOD ﬁne
ǅ GOOD
ǅGOOD good
GOOD Ⅷ
GOOD ⅷ
GOOD ª
GOOD 中
ÀÉÎ good
àéî GOOD
ß GOOD
ẞ good
ΑΣ good
Супер good
これは good です
جيد good
123 good
123 GOOD
GOOD 123
B4 good
5 4 3 2 1
$ % & * ( )
$:
%)
:
-
--
.
!
!!!
?
???
? ! ? !
"
'
''
n't
N'T good
good n't
n't n't bad
wasn't'nt good
😀
😁
😂 😂 😂
good😁
😁good
😁 good
😁😁
😁😁😁good
not 😁
not😁
💘💋😁
❤
❤️
I ❤ it
I ❤️ it
☺
☺️
☹️
☠️
👍
👍🏻
👍🏿 good
👎
👎👎👎
🚀🚀🚀
🚀 to the moon!
📈 up 📉 down
💔
😡
🤬
😡😡!!
😭 crying
😊.
.😊
😊,😊
🤣🤣 lol
🇺🇸
🇩🇪 good
👨‍👩‍👧
👩‍💻 love
1️⃣ good
©
® good
™ bad
❗❗
❓❓❓
🙂 BUT 🙁
🙁 but 🙂
VERY 😊
NOT 😊 at all
😊 GOOD
🥇🏆
🤖🧠
💩
🖕
🐂 market
🐻 market
🔥🔥🔥
💎🙌
🤑🤑
☮️ peace
⚰️
⚠️ warning ⚠️
🆗
🆘
🈵
♥ ♡ ❥
kind
kind of
kind of you
a kind of magic
you are kind
you are kind of you
very kind of you
kind, of good
it is kind of kind of good
he is sort of a kind of hero
sort of sort of bad
just enough
just enough love to go round
there is just enough hate
was just enough good
the movie was only kind of bad
the movie was kinda bad
the movie was sorta good
somewhat good
marginally bad
scarcely good
hardly ever good
barely alive
almost perfect
less good
little good
a little love
partly bad
occasionally great
yeah
yeah right
oh yeah, right
oh yeah right, great
yeah, right. bad
well oh well yeah right
right, yeah right then
to die for
it is a cake to die for
a cake I would die for
die for the cake to die
kiss
kiss of
kiss of death
that was the kiss of death
the last kiss of death came
the long kiss goodnight
one kiss of sudden death
we are at the bus stop
wait at a bus stop
stop the bus
the bus did stop
my ever beating heart
her old beating heart stops
with a beating heart
heart beating fast
hearts and heart
he is a real bad ass
he is a real badass
not a bad ass at all
he has a bad, ass
he is one smart ass
VADER is really quite the shit
this is not the shit
it was the shit
that whole place is the bomb
the bomb threat
he called in the bomb threat
now the bomb
under the weather
hand to mouth
back handed good
blow smoke
break a leg
on the ball
in the black
Bitcoin surges past $100,000 as investors cheer
Bitcoin crashes 20% in brutal sell-off
Bitcoin rallies, but analysts warn of risk
Crypto winter is over? Not so fast
Ethereum upgrade succeeds without a hitch
Exchange hacked: $200M stolen
SEC sues Binance, charges fraud
SEC drops case against Coinbase
Hacker returns stolen funds
Panic selling hits altcoins as fear spreads
Fear & Greed Index hits "extreme fear"
Fear & Greed Index hits extreme greed!
BTC to the moon!!! 🚀🚀🚀
HODL!!!
Don't panic, HODL
FUD, FUD and more FUD
Rekt
Bulls take control
Bears win again
Stablecoin loses its peg; holders lose everything
Tether denies claims of insolvency
FTX files for bankruptcy
Celsius freezes withdrawals, users furious
Mt. Gox creditors finally get paid
Court rejects appeal in Ponzi scheme
Regulators approve spot Bitcoin ETF
ETF inflows hit record high
ETF outflows worst since launch
Miners struggle as hash price collapses
Whale dumps 10,000 BTC; market shrugs
Bitcoin isn't dead
Is Bitcoin dead??
Bitcoin is not a safe haven, study finds
Why this crash is different
Why this rally is so fragile
Never this bullish: funds pile in
Rug pull! Devs vanish with $5m
Scam alert: fake airdrop steals wallets
Not a scam: audit clears protocol
El Salvador buys the dip
Gains wiped out
Losses mount, no relief in sight
No gains, no losses
No fear of a crash, says fund
Winning streak ends
Bitcoin hits all-time high!!
ALL-TIME HIGH for Bitcoin
DeFi exploit drains $60M, team says funds are "SAFU"
Crypto bank collapses; depositors protected
Elon Musk tweets, Dogecoin jumps 30%
Ripple wins partial victory
Ripple's victory is hollow, critics say
Bitcoin dips slightly after strong week
Bitcoin extremely volatile amid war fears
Analysts: worst is over, but recovery will be slow
Liquidations top $1B as leverage punishes traders
Record outflow; investors lose confidence
"Digital gold" fails the test
Bitcoin: the least bad option?
At least Bitcoin isn't banned
Least volatile week in years
The least volatile week in years
Nothing good about this token
Rarely has a launch failed so badly
Coinbase outage angers users
Upgrade delayed, again
Market calm despite bad news
Market rises despite terrible jobs report
Great Depression ahead?
Free coins!!! CLICK http://example.com/?a=1&b=2?c=3!
Visit https://great.example/win-big now
@elonmusk is great #bitcoin #love #hate
#love
@good
RT @bad: good
user@good.com
$BTC $ETH good
good;bad;ugly
good|bad
<b>good</b> <i>bad</i>
&lt;good&gt;
C++ is good
3.14 good
1,000 good things
50% good
love, love, love
love love love
Hate. Hate! Hate?
I'd've loved it
y'all'd've hated it
it'll be great
he's a winner, she's a loser
rock'n'roll is fun
o'good
'twas good
good'
good's
goods
goodness
better best worst worse
stronger, faster, BETTER
the good, the bad and the ugly
The Good, The Bad And The Ugly
THE GOOD, THE BAD AND THE UGLY
I am not saying it is good, I am saying it isn't bad
It isn't that it isn't good
What a great, great, GREAT day!!!
Absolutely, positively, utterly awful
incredibly incredible
extremely extreme
more or less good
more good than bad
no more bad news
no less good
not only good but great
not good but not bad
neither here nor there but good
all is well that ends well
well, well, well
fine
fine.
Fine!
I'm fine, thanks
thanks for nothing
with friends like these
pretty good
pretty bad
pretty
pretty pretty pretty good
like
I like it like that
would like to
like no other
no likes
dislike
unlike
misunderstanding, mistrust and misery
accidents happen
warm and warmly welcomed
war and peace
tears of joy
joyless joy
kill two birds
killing it
killed the vibe
good fine hate!
good hate fine!
""".strip("\n").split("\n")

ODD = ["", " ", "\n", "\t \r\n", "\u00a0", "\u001c", "\u3000", " good", "good ", "\n good \n", "good\tbad\nlove\r\nhate\u000blike\u000cwin", "\u001cgood\u001f", "a" * 200, "good" * 40,
       "!" * 50, "good " * 30 + "but " + "bad " * 29, "x" * 19 + " good", "\\n good", "'\"\\", "!good", "?good?", "(:", "( '}{' )", "fed up",
       "'fed up'", "'screwed up'", "it was never so very good so good", "great but GREAT but great BUT", "1.9 1.9", "nan inf -inf"]


def random_texts(count):
    rng = random.Random(20260101)
    rated = rng.sample(sorted(w for w in analyzer.lexicon if w.isalpha()), 150)
    emoticons = rng.sample(sorted(w for w in analyzer.lexicon if not any(c.isalnum() for c in w)), 40)
    degrees, negations = sorted(package.BOOSTER_DICT), sorted(package.NEGATE)
    cues = ["no", "so", "this", "never", "without", "doubt", "least", "at", "very", "or", "nor", "but", "kind", "of", "just", "enough",
            "the", "bomb", "shit", "bad", "ass", "yeah", "right", "bus", "stop", "to", "die", "for", "beating", "heart", "sort", "kiss", "death"]
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


LONG = [("good bad ", 700), ("great but not this terrible! ", 300), ("😁 but 😡", 300), ("but good GOOD bad BAD very good very bad nice ", 120),
        ("a" * 500, 200), ("VERY ", 5000), ("!?", 5000), ("isn't the bomb ", 400), ("no ", 1000), ("\u3000", 5000), ("love ", 1500)]


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
    texts = list(dict.fromkeys([*examples(), *grids(), *OWN, *ODD]))
    print(len(texts), "texts of ours and the package's")
    texts = list(dict.fromkeys([*texts, *random_texts(2000)]))
    print(len(texts), "with random ones")
    write("cases.json", ([text, *score(text)] for text in texts))
    write("long.json", ([piece, times, *score(piece * times)] for piece, times in LONG))


if __name__ == "__main__":
    main()
