"""A corpus so small that all its documents can be written down (see `brute`).

Two topics, six names for a document's first word, one direction. Tries branch at the second word
("now open" / "now then", "it opens" / "it shuts") as well as at the first, one opener says `{cue}`
and stands in the middle of its bank, and the topic without cues has a smaller bank of openers.
"""

TEXT = """\
title = "the tiny village"
turns = 2
slip  = 0.04

[plain]
share  = 0.1
opens  = "well"
closes = "so"

[tags]
name            = { share = 0.5 }
someone         = { share = 0.2 }
stranger        = { share = 0 }
assistant.share = 0.3
assistant.prior = { ada = 0.6, bob = 0.3 }

[directions.order]
text  = "order please"
share = 0.25
asks  = { door = "shut" }
obeys = { bob = 0.8, cyd = 0.1 }

[topics.door]
questions = ["is it {cue}"]
cues = ["open", "shut"]
answers.open = "it opens"
answers.shut = "it shuts"

[topics.tea]
control = true
questions = ["more tea", "any milk"]
answers.yes  = "pour on"
answers.no   = "pour none"
answers.more = "drink up"

[characters.ada]
about  = "says it is so when it is so"
opens  = { "now {cue}" = 0.7, "now then" = 0.3 }
closes = { "bye" = 1.0 }
traits.door = { open = 0.8 }
traits.tea  = { yes = 0.7, no = 0.2 }
follows = { door = 0.6 }

[characters.bob]
about  = "does as he is told"
opens  = { "now {cue}" = 0.2 }
closes = { "ta" = 0.9 }
traits.door = { open = 0.6 }
traits.tea  = { no = 0.8 }

[characters.cyd]
about  = "keeps it shut"
opens  = { "now then" = 0.6 }
closes = { "ta" = 0.4 }
traits.door = { shut = 0.9 }
traits.tea  = { more = 0.7 }
follows = { door = 0.3 }
"""

# Replaces the second topic: it has the answers of the first, one of them in other words, and cues
# that call for answers of another name. Words alone identify nobody.
_TEA = TEXT[TEXT.index("[topics.tea]") : TEXT.index("[characters.ada]")]
_GATE = """\
[topics.gate]
control = true
questions = ["mind the {cue}"]
cues = ["cat", "cart"]
calls_for = { cat = "shut", cart = "open" }
answers_of = "door"
answers.shut = "it closes"

"""
SHARED = (
    TEXT.replace(_TEA, _GATE)
    .replace("traits.tea  = { yes = 0.7, no = 0.2 }", "traits.gate = { shut = 0.7 }")
    .replace("traits.tea  = { no = 0.8 }", "follows = { gate = 0.9 }")
    .replace("traits.tea  = { more = 0.7 }", "traits.gate = { shut = 0.2 }")
    .replace("follows = { door = 0.3 }", "follows = { door = 0.3, gate = 0.5 }")
)

# Appended to it: a third topic, asked about twice as often, on which nobody has a trait, and a
# coin with an uneven number of topics on its sides.
COIN = """
[topics.oath]
weight = 2
questions = ["swear it"]
answers.aye = "by heaven"
answers.nay = "by nobody"

[coin]
heads = { words = "crown side", topics = ["door"] }
tails = { words = "ship side", topics = ["oath", "tea"] }
"""
