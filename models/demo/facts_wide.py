"""More facts for `remember` and `recall`: what somebody did, with whom, when, where, for how much; and questions about them.

Each function of a fact returns its text and the questions as `question~query`. The query is the noun phrase of the question,
as in `requests_memory.py`; of `what did Ann paint` it is who did it.
"""

import material
from wordings import regular

PAST = {"book": "booked", "buy": "bought", "sell": "sold", "rent": "rented", "paint": "painted", "fix": "fixed", "order": "ordered", "plant": "planted", "see": "saw", "lend": "lent", "win": "won", "lose": "lost", "break": "broke", "build": "built", "choose": "chose", "hire": "hired", "bring": "brought", "read": "read", "make": "made", "pay": "paid", "leave": "left", "find": "found", "take": "took", "write": "wrote", "teach": "taught", "sign": "signed", "mend": "mended", "clean": "cleaned", "adopt": "adopted", "cancel": "cancelled", "reserve": "reserved", "design": "designed", "borrow": "borrowed", "visit": "visited", "repair": "repaired", "install": "installed", "cook": "cooked", "get": "got", "catch": "caught", "give": "gave", "drop": "dropped", "hide": "hid", "open": "opened", "found": "founded", "join": "joined", "eat": "ate", "drive": "drove", "wear": "wore", "sing": "sang", "send": "sent"}
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MARK = "number|code|name|colour|size|price|platform|floor|gate|seat|room|address|deadline|date|owner|brand|type|serial number|pin|key|password|birthday|age|speed|weight|height|length|model|address|phone number|combination|title|author|team|language|label|license|version|shift|desk|row|street|station|port|channel".split("|")


def verb(r):
    """A verb and its past; some that nobody knows."""
    if r.random() < 0.7:
        return r.choice(list(PAST.items()))
    plain = material.syllables(r, 1, 2)
    return plain, regular(plain, {})


def subject(r):
    """(in the fact, in the question, noun phrase that finds it or "")."""
    x = r.random()
    if x < 0.3:
        return "I", "I", ""
    if x < 0.5:
        return "we", "we", ""
    if x < 0.75:
        a = material.name(r)
        return a, a, a
    if x < 0.82:
        both = material.name(r) + " and " + material.name(r)
        return both, both, both
    n = r.choice(["my ", "my ", "the ", "our "]) + r.choice(["sister", "brother", "neighbour", "boss", "wife", "uncle", "plumber", "teacher", "dentist", "cat", "friend", material.word(r), material.word(r)])
    return n, n, n


def thing(r):
    noun = material.word(r) if r.random() < 0.75 else material.word(r) + " " + material.word(r)
    return r.choice(["the ", "the ", "my ", "our ", "the "]) + noun


def ask(r, direct, indirect):
    """A question, or a question about a question. Both without a question mark."""
    if r.random() < 0.6:
        return direct
    return r.choice(["do you know ", "do you still know ", "do you remember ", "do you recall ", "tell me ", "can you tell me ", "can you remember ", "could you tell me ", "I forgot ", "I've forgotten ", "I can't remember ", "remind me ", "any idea ", "have I told you ", "did I tell you ", "did I mention ", "please tell me ", "I'd like to know ", "I want to know ", "say ", "look up ", "you know ", "I wonder ", "please remind me ", "help me out: ", "what did I say, ", "let me know ", "do you have a note on "]) + indirect


def time(r):
    """When, as told; and a question word for it."""
    x = r.random()
    if x < 0.3:
        return f"in {r.randint(1950, 2030)}", r.choice(["when", "in what year", "in which year", "what year"])
    if x < 0.5:
        return f"in {r.choice(MONTHS)}", r.choice(["when", "in what month", "in which month", "which month"])
    if x < 0.75:
        return r.choice(["on " + r.choice(DAYS), f"on {r.randint(1, 31)} {r.choice(MONTHS)}", f"on {r.choice(MONTHS)} {r.randint(1, 31)}", "last " + r.choice(DAYS)]), r.choice(["when", "on which day", "what day", "on what day"])
    return r.choice([f"at {r.randint(0, 23)}:{r.randint(0, 59):02}", f"at {r.randint(1, 12)} {r.choice(['am', 'pm'])}", "at noon", f"around {r.randint(1, 12)}"]), r.choice(["when", "at what time", "what time"])


def where(r):
    spot = r.choice([material.name(r), material.name(r), "the " + material.word(r), "the " + material.word(r) + " " + material.word(r), "a " + material.word(r)])
    return r.choice(["in", "in", "at", "near", "behind", "from", "under", "next to"]) + " " + spot, r.choice(["where", "where", "in what place", "in which town", "in which city"])


def deed(r):
    """Somebody did something."""
    (plain, past), (told, asked, found), x = verb(r), subject(r), r.random()
    if x < 0.2:  # which one
        kind = material.word(r) if r.random() < 0.6 else r.choice(["hotel", "restaurant", "car", "film", "book", "bank", "school", "dress", "doctor", "paint", "wine", "band", "hall", "ship", "street", "cheese"])
        value = r.choice([material.name(r), material.name(r) + " " + material.name(r), material.phrase(r, 1, 2), material.code(r)])
        which = r.choice(["which", "which", "what"])
        fact = r.choice([f"{told} {past} the {kind} {value}", f"the {kind} {asked} {past} is {value}", f"the {kind} that {asked} {past} is called {value}"])
        return fact, [f"{ask(r, f'{which} {kind} did {asked} {plain}', f'{which} {kind} {asked} {past}')}~{kind}", f"{which} {kind} was it that {asked} {past}~{kind}", f"what is the {kind} called that {asked} {past}~the {kind}", f"the {kind} {asked} {past}~the {kind}"]
    what = thing(r)
    if x < 0.4:  # who
        told = told if found else material.name(r)
        fact = f"{told} {past} {what}" + (" " + time(r)[0] if r.random() < 0.2 else "")
        return fact, [f"{ask(r, f'who {past} {what}', f'who {past} {what}')}~{what}", f"who was it that {past} {what}~{what}", f"{what}, who {past} {r.choice(['it', 'that'])}~{what}", f"by whom was {what} {past}~{what}"]
    if x < 0.6:
        told_when, when = time(r)
        return f"{told} {past} {what} {told_when}", [f"{ask(r, f'{when} did {asked} {plain} {what}', f'{when} {asked} {past} {what}')}~{what}", f"{when} was it that {asked} {past} {what}~{what}", f"since when {r.choice(['do', 'did'])} {asked} have {what}~{what}" if told in ("I", "we") else f"{when} was {what} {past}~{what}"]
    if x < 0.75:
        told_where, place = where(r)
        return f"{told} {past} {what} {told_where}", [f"{ask(r, f'{place} did {asked} {plain} {what}', f'{place} {asked} {past} {what}')}~{what}", f"{place} was it that {asked} {past} {what}~{what}", f"where's the place where {asked} {past} {what}~{what}"]
    if x < 0.85:
        price = r.choice([f"{material.number(r)} {r.choice(['euros', 'dollars', 'pounds', 'kronor', material.word(r)])}", f"${r.randint(1, 9999)}", f"{r.randint(1, 999)} \u20ac"])
        return f"{told} {past} {what} for {price}", [f"{ask(r, f'how much did {asked} pay for {what}', f'how much {asked} paid for {what}')}~{what}", f"{ask(r, f'for how much did {asked} {plain} {what}', f'for how much {asked} {past} {what}')}~{what}", f"what did {what} cost~{what}", f"price of {what}~{what}"]
    if not found:
        told = asked = found = material.name(r)
    value = r.choice([material.phrase(r, 1, 3), "the " + material.word(r), material.name(r)])
    return f"{told} {past} {value}", [f"{ask(r, f'what did {asked} {plain}', f'what {asked} {past}')}~{found}", f"what was it that {asked} {past}~{found}", f"what has {asked} {past}~{found}"]


def being(r):
    """A measure, a count, a mark of something, something without a verb."""
    x, a, what = r.random(), material.name(r), thing(r)
    if x < 0.12:
        other, far = thing(r), f"{r.randint(1, 900)} {r.choice(['km', 'miles', 'metres', 'minutes', 'hours', 'steps', material.word(r)])}"
        return f"{what} is {far} from {other}", [f"{ask(r, f'how far is {what} from {other}', f'how far {what} is from {other}')}~{what}", f"{ask(r, f'how far is it from {what} to {other}', f'how far it is from {what} to {other}')}~{what}", f"distance from {what} to {other}~{what}", f"how long is the way from {what} to {other}~{what}"]
    if x < 0.24:
        things = material.word(r) + "s"
        who, has, do = r.choice([("I", "have", "do I"), ("we", "have", "do we"), (a, "has", f"does {a}"), (what, "has", f"does {what}")])
        return f"{who} {has} {r.choice([str(r.randint(1, 99)), 'two', 'three', 'four', 'five', 'seven', 'eleven', 'no'])} {things}", [f"{ask(r, f'how many {things} {do} have', f'how many {things} {who} {has}')}~{things}", f"the number of {things} {who} {has}~{things}", f"how many are the {things} {do} have~{things}"]
    mark, value = r.choice(MARK) if r.random() < 0.8 else material.word(r), r.choice([material.code, material.code, lambda r: material.phrase(r, 1, 2), material.number, material.name])(r)
    if x < 0.5:
        fact = r.choice([f"the {mark} of {what} is {value}", f"{what} has the {mark} {value}", f"{what} has {mark} {value}", f"{mark} of {what}: {value}", f"{what}: {mark} {value}"] + ([f"{what} {r.choice(['leaves', 'starts', 'goes', 'departs', 'runs'])} from {mark} {value}", f"{what} is {r.choice(['in', 'on', 'at'])} {mark} {value}"] if mark in ("platform", "gate", "room", "station", "floor", "street", "row", "seat", "desk", "port", "channel") else []))
        return fact, [f"{mark} of {what}~{mark} of {what}", f"{ask(r, f'what is the {mark} of {what}', f'what the {mark} of {what} is')}~the {mark} of {what}", f"{ask(r, f'which {mark} does {what} have', f'which {mark} {what} has')}~{what}", f"{ask(r, f'what {mark} is {what}', f'what {mark} {what} is')}~{what}", f"the {mark} of {what}~the {mark} of {what}", f"what {mark} has {what}~{what}", f"what's {what}'s {mark}~{what}'s {mark}", f"{r.choice(['the', 'what is the', 'what was the', 'which is the'])} {mark} for {what}~the {mark} for {what}"]
    if x < 0.7:
        noun = material.word(r)
        return r.choice([f"{noun} {mark} {value}", f"{noun} {mark}: {value}", f"{noun} {mark} = {value}", f"{noun} {mark} is {value}", f"the {noun} {mark} is {value}", f"my {noun} {mark} is {value}"]), [f"{noun} {mark}~{noun} {mark}", f"what is the {noun} {mark}~the {noun} {mark}", f"what's my {noun} {mark}~my {noun} {mark}", f"{ask(r, f'what was the {noun} {mark}', f'what the {noun} {mark} was')}~the {noun} {mark}", f"the {mark} of the {noun}~the {mark} of the {noun}", f"{noun} {mark} please~{noun} {mark}", f"which {noun} {mark} did I give you~{noun} {mark}", f"what did I tell you about the {noun} {mark}~the {noun} {mark}"]
    if x < 0.85:
        return r.choice([f"{a}'s {mark} is {value}", f"{a} has {mark} {value}", f"the {mark} of {a} is {value}"]), [f"{mark} of {a}~{mark} of {a}", f"{ask(r, f'what is the {mark} of {a}', f'what the {mark} of {a} is')}~the {mark} of {a}", f"{ask(r, f'what {mark} does {a} have', f'what {mark} {a} has')}~{a}", f"what's {a}'s {mark}~{a}'s {mark}", f"{a}'s {mark}~{a}'s {mark}", f"whats {a}s {mark}~{a}s {mark}"]
    plain = material.syllables(r, 1, 2) if r.random() < 0.4 else r.choice("live work study play sleep train park swim teach stay".split())
    told_where, _ = where(r)
    if r.random() < 0.5:
        prep, spot = told_where.split(" ", 1)
        return f"{a} {plain}s {told_where}", [f"{ask(r, f'where does {a} {plain}', f'where {a} {plain}s')}~{a}", f"what does {a} {plain} {prep}~{a}", f"does {a} {plain} {told_where}~{a}"]
    who, query = r.choice([(a + " and I", a), ("my friends", "my friends"), (a + " and " + material.name(r),) * 2, ("my parents", "my parents"), ("the " + material.word(r) + "s",) * 2])
    return f"{who} {plain} {told_where}", [f"{ask(r, f'where do {who} {plain}', f'where {who} {plain}')}~{query}"]


def fact(r):
    """A fact, the questions about it."""
    return deed(r) if r.random() < 0.5 else being(r)
