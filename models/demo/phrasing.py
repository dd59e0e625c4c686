"""Builds sentences from shapes: alternatives in round brackets, slots in angle brackets, politeness around a verb.

A shape such as `(show|print) (me|) <PATH>` is literal text with slots. The literal text may get a capital, a typo or a
different ending; what fills a slot is copied as it is, sometimes within quotes.
"""

import re

import material

_INNER = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"(<[A-Z0-9]+>)")

# Before a verb in its plain form. An empty entry is the bare imperative.
PLAIN = [""] * 45 + """please |please |please |can you |could you |can you please |could you please |would you |will you |would you please
|I want you to |I'd like you to |I would like you to |I need you to |you should |you need to |let's |let us |go ahead and |go and |just |now |now please
|next, |then |first, |ok, |okay, now |hey, |hi, |hey, can you |hello, please |kindly |be so kind as to |be so good as to |help me |help me to |I need to
|I want to |I'd like to |I would love to |we need to |we should |we have to |I have to |time to |your task is to |your task: |task: |do me a favour and
|do this: |would it be possible to |is it possible to |are you able to |it would be nice to |it's time to |may I ask you to |might I ask you to
|I am asking you to |ask the tool to |use your tools to |use a tool to |also |and now |once more, |again, |quickly |quick: |so, |alright, |right, |well, |um,
|one more thing: |if you can, |if possible, |when you can, |for a test, |as a test, |for me, |any chance you could |could you maybe |can we |could we
|shall we |don't forget to |make sure to |be sure to |you can |you may |feel free to |attempt to |try to |it is important to |I'd be glad if you could
|I was hoping you could |I wonder if you could |do you think you could |would you be able to |could I get you to |can I have you """.replace("\n", "").split("|")
# Before a verb in -ing.
GERUND = """would you mind |do you mind |mind |try |how about |what about |I'd appreciate you |I would appreciate your |start by |start with |begin by |begin with
|consider |I feel like |let's try |I suggest |go on with |continue by |please try |can you try |could you try |any chance of |is there a chance of |I am thinking of
|how do you feel about |thanks for |next up: |next step: |it is worth |let's start by |could you start by |I insist on |I recommend |let's see about |you could try """.replace("\n", "").split("|")
PLAIN, GERUND = ([lead.strip() + " " if lead.strip() else "" for lead in leads] for leads in (PLAIN, GERUND))
CLOSE = [""] * 30 + """ please|, please| please|, please| for me| for me, please| now| right now| right away| again| once more|, thanks|, thank you| thanks| thank you|, would you
| if you can| if you can, please| if possible| when you can| when you have a moment| when you get a chance| quickly| asap| at once| immediately| first
| today| and tell me the result| and show me the result| and show me what comes out| and report back| and let me know| then tell me| and that is all|, that's all
|, cheers| pls| plz|, will you|, can you|, could you| - thanks| :)| for once| and nothing else| straight away|, ok|, okay|, it is urgent|, no hurry
| and say what happened| so that I can check it| because I need it| before lunch| for the team""".replace("\n", "").split("|")
_ODD_GERUNDS = {"put": "putting", "run": "running", "get": "getting", "set": "setting", "cat": "catting", "grep": "grepping", "jot": "jotting",
                "scan": "scanning", "dig": "digging", "let": "letting", "swap": "swapping", "begin": "beginning", "log": "logging", "spot": "spotting",
                "fetch": "fetching", "see": "seeing", "drop": "dropping", "stop": "stopping", "plug": "plugging", "tip": "tipping", "submit": "submitting"}


def expand(r, shape):
    """Chooses one of each group of alternatives, innermost first; `,?` is a comma or none."""
    while True:
        shape, n = _INNER.subn(lambda m: r.choice(m.group(1).split("|")), shape, count=1)
        if not n:
            return re.sub(" {2,}", " ", re.sub(r",\?(?= )", lambda _: r.choice([",", ""]), shape))


def gerund(verb):
    """`look up` -> `looking up`; good enough for the verbs used here."""
    head, _, rest = verb.partition(" ")
    if head in _ODD_GERUNDS:
        head = _ODD_GERUNDS[head]
    elif head.endswith("e") and not head.endswith("ee"):
        head = head[:-1] + "ing"
    else:
        head += "ing"
    return head + (" " + rest if rest else "")


def verbal(r, verbs, objects):
    """A whole sentence from one verb and one object shape, with or without politeness in front and behind.

    `objects` may hold `{v}` for a verb in the middle; otherwise the verb stands in front.
    """
    verb, thing = r.choice(verbs), expand(r, r.choice(objects))
    if r.random() < 0.78:
        lead = r.choice(PLAIN)
    else:
        lead, verb = r.choice(GERUND), gerund(verb)
    if r.random() < 0.03:
        lead = r.choice([material.word(r) + " " + lead, material.name(r) + ", " + lead, material.phrase(r, 1, 3) + ": " + lead, "hi " + material.name(r) + ", " + lead])
    if r.random() < 0.04:
        verb = material.syllables(r)
    return lead + (thing.replace("{v}", verb) if "{v}" in thing else verb + " " + thing)


def typo(r, literal):
    """Swaps, drops or doubles one letter of the literal text."""
    places = [i for i in range(1, len(literal) - 1) if literal[i].isalpha() and literal[i + 1].isalpha()]
    if not places:
        return literal
    i = r.choice(places)
    return r.choice([literal[:i] + literal[i + 1] + literal[i] + literal[i + 2 :], literal[:i] + literal[i + 1 :], literal[:i] + literal[i] + literal[i:]])


def quotes(r, value, bare):
    """Puts `value` into quotes it does not contain; bare with probability `bare`."""
    x = r.random()
    if x < bare or "\n" in value:
        return value
    for mark in "\"'":  # as people do who do not look: the outermost pair counts
        if mark in value and value[0] != mark and r.random() < 0.25:
            return mark + value + mark
    for left, right, share in (("`", "`", 0.4), ('"', '"', 0.35), ("'", "'", 0.2), ("\u201c", "\u201d", 0.05)):
        bare += share * (1 - bare)
        if x < bare and left not in value and right not in value:
            return left + value + right
    return value


def fill(r, shape, slots, bare=None, close=True):
    """The message for `shape`. `slots`: name -> value; `bare`: name -> probability that the value stands without quotes."""
    if close and r.random() < 0.3:
        shape += r.choice(CLOSE)
    pieces = _SLOT.split(expand(r, shape))
    literals = [i for i, piece in enumerate(pieces) if not _SLOT.fullmatch(piece) and piece.strip()]
    if literals and r.random() < 0.06:
        i = r.choice(literals)
        pieces[i] = typo(r, pieces[i])
    if literals and literals[0] == next((i for i, p in enumerate(pieces) if p), 0):
        i, x = literals[0], r.random()
        pieces[i] = pieces[i][0].upper() + pieces[i][1:] if x < 0.4 else pieces[i].upper() if x < 0.42 else pieces[i]
    if r.random() < 0.04:
        pieces = [piece if _SLOT.fullmatch(piece) else piece.upper() for piece in pieces]
    used = {}
    for i, piece in enumerate(pieces):
        if _SLOT.fullmatch(piece):
            key = piece[1:-1]
            used[key] = used.get(key) or (spaced_path(r, slots[key], pieces, i) if key in ("PATH", "DIR") and " " in slots[key] else quotes(r, slots[key], (bare or {}).get(key, 0.7)))
            pieces[i] = used[key]
    return "".join(pieces).strip(" ")


def spaced_path(r, path, pieces, i):
    """A path with a space in it, piece `i`: bare only after `called` and before a sign, else within quotes."""
    named = pieces[i - 1].rstrip(" ").lower().endswith(("called", "named", "titled", "name is", "by the name of")) if i else False
    following = "".join(pieces[i + 1 :]).strip(" ")
    if named and (not following or following[0] in ".?!,:;") and r.random() < 0.6:
        return path
    return r.choice(["\"{}\"", "\"{}\"", "'{}'", "`{}`"]).format(path)


QUESTION = re.compile(r"^(what|where|which|who|when|how|can|could|would|will|do|is|are|any|may|might|shall|mind)\b", re.I)


def ending(r, text, keep):
    """Adds a full stop, question or exclamation mark that is not part of what is copied; `keep` forbids it."""
    if keep or text[-1] in ".?!:\n":
        return text
    if QUESTION.match(text):
        return text + r.choice(["?"] * 12 + [""] * 7 + [" ?"])
    return text + r.choice([""] * 24 + ["."] * 10 + ["!"] * 2 + [" !", "..", "..."])
