"""Wordings for remember and recall: facts of many shapes, and for each fact the questions it answers.

The query of `recall` is the noun phrase of the question, copied. Where the question has none, it is the verb phrase.
"""

import re

import facts_wide
import material
import wordings_more
import wordings_wide
from phrasing import PLAIN, ending, expand, fill, typo

NOUNS = """bike car cat dog house flat garden phone laptop password pin code key locker dentist doctor boss teacher sister brother landlord birthday anniversary meeting flight train
appointment favourite colour favourite food favourite song favourite book size shoe size address phone number email bank office desk project deadline team wife husband daughter son mother father
hobby sport instrument router server username account number plate insurance plumber barber coat bag umbrella wallet passport ticket seat room hotel gym coach neighbour horse boat tent guitar camera
coffee tea pizza order bill rent salary budget plan goal name nickname hometown school job company blood group middle name star sign mug chair bed lamp fridge oven""".replace("\n", " ")
_DOUBLE = ["favourite colour", "favourite food", "favourite song", "favourite book", "shoe size", "phone number", "account number", "number plate", "blood group", "middle name", "star sign"]
for _pair in _DOUBLE:
    NOUNS = NOUNS.replace(_pair, _pair.replace(" ", "~"))
NOUNS = [n.replace("~", " ") for n in NOUNS.split()]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()


def noun(r):
    x = r.random()
    if x < 0.4:
        return r.choice(NOUNS)
    if x < 0.5:
        return material.word(r) + " " + r.choice(NOUNS)
    return material.word(r) if x < 0.9 else material.word(r) + " " + material.word(r)


def when(r):
    return r.choice([lambda: f"on {r.choice(DAYS)}", lambda: f"on {r.choice(MONTHS)} {r.randint(1, 31)}", lambda: f"at {r.randint(0, 23)}:{r.randint(0, 59):02}", lambda: f"on {r.choice(DAYS)} at {r.randint(1, 12)}",
                     lambda: f"in {r.choice(MONTHS)}", lambda: f"on the {r.randint(1, 31)}th of {r.choice(MONTHS)}", lambda: r.choice(["tomorrow", "next week", "at noon", "in the morning"])])()


def value(r):
    x = r.random()
    if x < 0.08:
        return r.choice([f"floor -{r.randint(1, 9)}", f"the {r.randint(1, 99)}{r.choice('ABCDEFX')}", material.mixed(r, 2, 8), f"{material.mixed(r, 2, 3)} {r.randint(10, 9999)}", f"{r.randint(1, 999)} {material.word(r)}", f"{material.word(r)} {material.number(r)}", f"at -{r.randint(1, 40)}", f"{titled(r)} {material.name(r)}"])
    if x < 0.4:
        return material.word(r)
    if x < 0.5:
        return material.name(r)
    if x < 0.65:
        return material.term(r)
    if x < 0.75:
        return material.number(r)
    return material.phrase(r, 2, 4) if x < 0.93 else material.repeated(r)


# Each entry: fact, query, questions. Slots: N noun, M another noun, V value, A and B names, W when, D word.
FACTS = [
    ("my <N> (is|is|is|was) <V>", "my <N>", "thing"), ("my <N> is <V>", "my <N>", "thing"), ("my <N> are <V>", "my <N>", "things"), ("my <N> is called <A>", "my <N>", "called"), ("my <N>'s name is <A>", "my <N>'s name", "thing"), ("the name of my <N> is <A>", "the name of my <N>", "thing"),
    ("the <N> is <V>", "the <N>", "thing"), ("the <N> is <V>", "the <N>", "thing"), ("the <D> <N> is <V>", "the <D> <N>", "thing"), ("the <N> (for|of|at|in) the <M> is <V>", None, "thing"), ("our <N> is <V>", "our <N>", "thing"), ("<A>'s <N> is <V>", "<A>'s <N>", "thing"), ("<A>'s <N> is <W>", "<A>'s <N>", "time"),
    ("my <N> is <W>", "my <N>", "time"), ("the <N> is <W>", "the <N>", "time"), ("the <N> starts <W>", "the <N>", "start"), ("my <N> starts <W>", "my <N>", "start"), ("<A> is my <N>", "<A>", "who"), ("my <N> is <A>", "my <N>", "person"), ("<A> lives in <B>", "<A>", "lives"), ("<A> works at <B>", "<A>", "works"),
    ("<A> likes <V>", "<A>", "likes"), ("<A> is <V>", "<A>", "thing"), ("I parked (my|the) <N> <P>", None, "parked"), ("I (put|left|keep|hid|store) (my|the) <N> <P>", None, "parked"), ("my <N> is <P>", "my <N>", "place"), ("the <N> is <P>", "the <N>", "place"), ("the <N> are <P>", "the <N>", "places"),
    ("my <N> costs <V>", "my <N>", "costs"), ("the <N> opens <W>", "the <N>", "opens"), ("I bought (my|the) <N> <W>", None, "bought"), ("my <D> <N> is <V>", "my <D> <N>", "thing"), ("my <N> has <V>", "my <N>", "has"), ("my <N> likes <V>", "my <N>", "likes"), ("my <N> lives in <B>", "my <N>", "lives"),
    ("I live in <B>", "I live", "live"), ("I was born <W>", "I was born", "born"), ("I work at <B>", "I work", "work"), ("I am allergic to <V>", "allergic", "allergic"), ("I (prefer|like|love) <V>", "I like", "like"), ("my <N> = <V>", "my <N>", "thing"), ("<N>: <V>", "<N>", "bare"), ("my <N> (is|was) <V>", "my <N>", "mine"), ("my <N> (is|was) <V>", "my <N>", "mine"), ("<A>'s <N> is <V>", "<A>'s <N>", "owned"), ("<A>'s <N> is <W>", "<A>'s <N>", "owned"), ("I owe <A> <V>", "<A>", "owe"), ("<A> owes me <V>", "<A>", "owes"), ("<A> was born (in <B>|<W>)", "<A>", "birth"), ("<A> is <E> (tall|old|years old|high|heavy)", "<A>", "measure"),
    ("my (first|second|last|old|new|next|favourite|best) <N> (is|was) <A>", None, "person"), ("my (first|second|last|old|new) <N> (is|was) called <A>", None, "person"), ("my <N> (is|was) <A>", "my <N>", "person"), ("<A> (drinks|eats|plays|drives|speaks|studies|teaches) <V>", "<A>", "does"), ("<A> (moved|went|travelled) to <B>", "<A>", "went"), ("my <N> ends <W>", "my <N>", "ends"), ("I (pay|paid) <V> for my <N>", None, "costs"), ("we meet <A> <W>", "we meet <A>", "meet"),
]
ANY = ["do you (remember|know|recall) <Q>", "do you (still |)(remember|know|recall) <Q>", "what do you (know|remember|recall) about <Q>", "what did I (tell you|say|mention|write|ask you to remember|note) about <Q>", "tell me about <Q>", "remind me (of|about) <Q>", "(have I told you|did I tell you|did I say anything|did I mention anything) about <Q>", "(do you have|have you got|is there) (anything|a note|something|notes) (about|on) <Q>",
       "look up <Q> in your (memory|notes)", "(check|search) your (memory|notes) for <Q>", "(recall|recall:) <Q>", "what was it about <Q>", "anything about <Q>", "what have I told you about <Q>", "in your (memory|notes), (look for|find) <Q>", "what is noted about <Q>"]
ASK = {
    "thing": ["which <Q> is it", "(what|which) was <Q>", "<Q> was what", "<Q> please", "look up <Q>", "please look up in your memory: <Q>", "what's <Q> of mine", "how much is <Q>", "what is <Q>", "what is <Q>", "what's <Q>", "what was <Q>", "what is <Q> again", "tell me <Q>", "remind me what <Q> is", "(what colour|which colour|what kind|how big|how old|how|what size|which brand|what sort|what type|what model|how tall|how fast|how much|how heavy) is <Q>", "can you tell me <Q>", "can you tell me what <Q> is", "(please |)tell me what <Q> is", "do you know what <Q> is", "I forgot <Q>", "I forgot what <Q> is", "what did I say <Q> (is|was)", "give me <Q>",
              "I can't remember <Q>", "I don't remember <Q>(. What is it|, help me|)", "I need <Q>", "I need to know <Q>", "what (might|could|would) <Q> be", "could you remind me of <Q>", "say what <Q> is", "I'd like to know <Q>", "what did I call <Q>", "which is <Q>", "which one is <Q>", "let me know <Q>", "<Q>?", "<Q>, (what is it|what was it|do you remember)", "how would you describe <Q>", "help me remember <Q>"],
    "mine": ["(which|what) <N> is mine~<N>", "(which|what) <N> was mine( again|)~<N>", "(what|which) <N> do I (have|own|use|need|take|want)~<N>", "(which|what) <N> did I (choose|mention|say|get)~<N>", "<Q>", "what is <Q>", "(say|tell me) (which|what) <N> is mine~<N>", "my <N>~my <N>", "which is <Q>"],
    "owned": ["<N> of <A>~<N> of <A>", "the <N> of <A>~the <N> of <A>", "(what|when|which) is the <N> of <A>~the <N> of <A>", "(what|when) is <Q>", "(tell me|say|give me|I need|I forgot) the <N> of <A>~the <N> of <A>", "<Q>", "what <N> does <A> have~<A>", "(which|what) <N> has <A>~<A>"],
    "owe": ["how much do I owe (to |)<Q>", "what do I owe (to |)<Q>", "do I owe <Q> (money|anything|something)", "how much does <Q> get from me", "what does <Q> get from me", "how much must I pay <Q>"], "owes": ["how much does <Q> owe me", "what does <Q> owe me", "does <Q> owe me (anything|money|something)", "how much do I get from <Q>"],
    "birth": ["(when|where|in which city|in which year|in what town|in which place|on which day) was <Q> born", "where does <Q> come from", "tell me (when|where) <Q> was born", "<Q> was born (when|where)", "do you know (when|where) <Q> was born"], "measure": ["how (tall|old|big|heavy|high) is <Q>", "tell me how (tall|old|big|heavy) <Q> is", "do you know how (tall|old) <Q> is", "what (height|age|weight|size) (has|is) <Q>"],
    "does": ["what does <Q> (drink|eat|play|drive|speak|study|teach|do)", "(which|what) (car|language|instrument|game|food|subject) does <Q> (drive|speak|play|eat|study|teach)", "tell me what <Q> does"], "went": ["where did <Q> (go|move|travel)( to|)", "where is <Q> now", "to which (city|place|town) did <Q> (go|move|travel)"], "ends": ["when does <Q> (end|stop|finish|run out)", "what time does <Q> end", "until when is <Q>"],
    "things": ["what are <Q>", "what (colour|size|kind) are <Q>", "what were <Q>", "how are <Q>", "tell me what <Q> are"],
    "called": ["what is <Q> called", "what's <Q> called", "how is <Q> called", "tell me what <Q> is called", "what did I call <Q>", "what name does <Q> have", "which name has <Q>", "who is <Q>"],
    "time": ["when is <Q>", "when's <Q>", "on (what|which) day is <Q>", "what (day|date|time) is <Q>", "at what time is <Q>", "tell me when <Q> is", "do you know when <Q> is", "when was <Q> again", "when will <Q> be", "how soon is <Q>", "I forgot when <Q> is", "which day is <Q>"],
    "start": ["when does <Q> (start|begin)", "what time does <Q> (start|begin)", "when is <Q>", "at what time does <Q> start"], "opens": ["when does <Q> open", "what time does <Q> open", "at what time does <Q> open"],
    "who": ["who is <Q>", "who's <Q>", "who was <Q> again", "do you know who <Q> is", "tell me who <Q> is", "what do I call <Q>"], "person": ["(tell me|say|give me|I need|I forgot|remind me of) the name of <Q>~the name of <Q>", "(what|which) (is|was) the name of <Q>( again|)~the name of <Q>", "(tell me|do you know|I forgot) the name of <Q>~the name of <Q>", "what was <Q> called", "who (is|was) <Q>", "what was the name of <Q>~the name of <Q>", "how is <Q> called", "name of <Q>~name of <Q>", "who is <Q>", "who's <Q>", "who is <Q> again", "tell me who <Q> is", "what is the name of <Q>~the name of <Q>", "what is <Q>'s name~<Q>'s name", "who did I say is <Q>"],
    "lives": ["where does <Q> live", "in (what|which) (city|town) does <Q> live", "where is <Q> (living|at home)"], "works": ["where does <Q> work", "who does <Q> work for", "where is <Q> (working|employed)", "what company does <Q> work for"], "likes": ["what does <Q> like", "what does <Q> love", "what is it that <Q> likes"],
    "parked": ["where did I (park|put|leave|keep|place|hide|store) <Q>", "where is <Q>", "where's <Q>", "where have I (put|left|parked|hidden) <Q>", "where can I find <Q>", "do you know where <Q> is", "tell me where <Q> is", "where do I (find|keep) <Q>"], "place": ["where is <Q>", "where's <Q>", "where can I find <Q>", "do you know where <Q> is", "tell me where <Q> is", "where did I (put|leave) <Q>", "in which place is <Q>"],
    "places": ["where are <Q>", "where did I put <Q>", "tell me where <Q> are"], "costs": ["how much (is|was|does) <Q>( cost|)", "what does <Q> cost", "what did <Q> cost"], "bought": ["when did I (buy|get) <Q>", "since when do I have <Q>"], "has": ["what does <Q> have", "what has <Q> got"],
    "live": ["where do I live", "do you know where I live"], "born": ["when was I born", "do you know when I was born"], "work": ["where do I work", "do you know where I work"], "allergic": ["what am I allergic to", "do you know what I am allergic to"], "like": ["what do I like", "do you know what I like"], "bare": ["what is the <Q>", "tell me the <Q>"], "meet": ["when do we meet <A>"],
}
KEEP = """remember|remember|remember|remember that|remember that|remember that|remember this:|remember:|note|note that|note:|make a note:|make a note that|please note that|keep in mind|keep in mind that|keep in mind:|don't forget|don't forget that|do not forget that|never forget that
|memorise|memorize that|memorise this:|memorise that|bear in mind that|for your memory:|for the record,|for the record:|store this fact:|store in memory:|store in your memory that|save to memory:|save this fact:|save in your memory that|add to your memory:|add to your notes:|add to memory that|put in your memory that
|learn that|learn this:|you should know that|you should remember that|you must remember that|I want you to remember that|I'd like you to remember that|I need you to remember that|let it be known that|take note:|take note that|take a note:|write in your notes that|write in your memory:|jot down that|jot this down:|commit to memory:
|commit to memory that|record that|record the fact that|record this:|know that|be aware that|remind yourself that|keep this in memory:|keep this in mind:|hold on to this:|hold in memory that|retain that|retain this:|please remember|please remember that|can you remember that|could you remember that|will you remember that|could you note that
|would you keep in mind that|would you remember that|try to remember that|just so you know,|for later:|for future reference,|for future reference:|a fact:|fact:|a note for you:|something to remember:|here is something to remember:|one thing to remember:|FYI:|note to self:|memo:|I tell you that|let me tell you that|I want you to know that
|remember for me that|remember for later that|keep a note that|file away that|log the fact that|mark down that|mind that|important:|it is important to remember that|your memory should hold that|help me remember that|please memorise that|please keep in mind that|please store that""".replace("\n", "").split("|")
AFTER = [". It would be good if you remembered that", ". Please remember it", " and you should remember it", ". FYI", ", remember that", ", please remember that", ", remember this", ", remember it", ". Remember that", ". Remember this", ". Please remember that", ". Please remember", ", don't forget it", ", don't forget that", ", keep that in mind", ". Keep that in mind", ". Keep it in mind please", ", note that", ", note it down",
         ". Note that down", ". Please note it", " - remember that", " - remember", " (remember that)", ", please keep that in mind", ". Don't forget", ". Can you remember that?", ", can you remember that?", ". Could you remember that for me?", ". Memorise that", ", memorise it", ", make a note of it", ". Make a note", ". Save that to memory", ", store that",
         ". Store this in your memory", ", that is worth remembering", ". I want you to remember it", ", remember that for me", ", remember that for later", ". Remember it for next time", ", put that in your notes"]
KEEP_DATA = ["remember (this|that|it|the following|the text|what I give you)", "(note|memorise|keep in mind|store in memory|don't forget|commit to memory) (this|the following|that)", "(can|could|would) you remember this", "keep this in (mind|memory)", "add this to your (memory|notes)", "save this (to|in) (memory|your memory|your notes)", "please remember (this|the following)", "make a note of this"]


def fact(r, about=None):
    """A random fact: its text, the query that finds it, the questions about it, each `question~query`.

    `about` gives slots of another fact, so that both speak of the same person or thing.
    """
    if about is None and r.random() < 0.35:
        text, questions = facts_wide.fact(r)
        return text, "", questions
    shape, query, kind = r.choice(FACTS)
    slots = {"N": noun(r), "M": noun(r), "V": value(r), "A": material.name(r) if r.random() < 0.85 else titled(r), "B": material.name(r), "W": when(r), "D": material.word(r), "E": r.choice([material.number(r), f"{r.randint(2, 199)} {r.choice(['cm', 'm', 'kilos', 'feet', material.word(r)])}"]), "P": r.choice(["in", "under", "behind", "on", "near", "at"]) + " the " + noun(r)}
    slots.update(about or {})
    if r.random() < 0.12 and not about:
        slots["A"] = r.choice(["grandma", "grandpa", "mum", "dad", "granny", "mother", "father", "my " + noun(r), "our " + noun(r)])
    if r.random() < 0.2:
        slots["P"] = r.choice(["in ", "at ", "on "]) + material.name(r) + r.choice(["", " street", " " + str(r.randint(1, 99))])
    shape = expand(r, shape)
    if query is None:
        query = re.search(r"(?:my|the) (?:[a-z]+ )?<N>(?: (?:for|of|at|in) the <M>)?", shape).group(0)
    put = lambda s: re.sub("<([A-Z])>", lambda m: slots.get(m.group(1), m.group(0)), s)
    questions = ASK[kind] if kind in ("live", "born", "work", "allergic", "like", "meet") else ASK[kind] + r.sample(ANY, max(1, len(ASK[kind]) // 4))
    if kind == "bare":
        query = "the " + query
        questions = [q.replace("the <Q>", "<Q>") for q in questions]
    return put(shape), put(query), [put(q.replace("<Q>", "\0")) for q in questions]


def titled(r):
    return r.choice(["Mr ", "Mrs ", "Ms ", "Dr ", "Dr. ", "Mr. ", "Miss ", "Prof. ", "Aunt ", "Uncle "]) + material.name(r)


def remember(r, given=None):
    """A request to remember `given` (or a random fact): message, data, arguments."""
    text = given or (fact(r)[0] if r.random() < 0.85 else material.sentence(r).rstrip(".!?"))
    if r.random() < 0.35:
        shape = wordings_more.keep(r)
        return ending(r, fill(r, shape, {"F": text}, {"F": 0.95}, close=r.random() < 0.1 and text[-1].isalpha()), False), None, {"text": text}
    x = r.random()
    if x < 0.05 and not given:
        return ending(r, fill(r, r.choice(KEEP_DATA), {}), False), text, {"text": text}
    if x < 0.06:
        shape = r.choice(["it would be (good|nice|great) if you (remembered|noted|kept in mind) (that |)<F>", "let it be remembered that <F>", "FYI(, and please remember it|, remember it|)(:|,) <F>", "(rember|remeber|rememeber|remmber|rmember|memorise) (that |this: |)<F>", "remember this fact(:| -|,) <F>", "just so you know for later: <F>"])
        return ending(r, fill(r, expand(r, shape), {"F": text}, {"F": 0.97}), False), None, {"text": text}
    if x < 0.72:
        keep = r.choice(KEEP)
        for _ in range(r.choice([0] * 8 + [1, 1, 2])):
            first, _, rest = keep.partition(" ")
            keep = typo(r, first) + (" " + rest if rest else "")
        message = fill(r, (r.choice(PLAIN) if r.random() < 0.12 else "") + keep + " <F>", {"F": text}, {"F": 0.95}, close=r.random() < 0.25 and not text.endswith(tuple("0123456789")))
        return ending(r, message, False), None, {"text": text}
    first = text[0].upper() + text[1:] if r.random() < 0.3 and not text.startswith("I") else text
    return ending(r, fill(r, "<F>" + r.choice(AFTER), {"F": first}, {"F": 0.97}, close=False), False), None, {"text": first}


def recall(r, given=None):
    """A question about a fact: message, data, arguments."""
    _, query, questions = given or fact(r)
    question = r.choice(questions)
    if "~" in question:
        question, query = question.replace("\0", query).split("~")
        shape = question.replace(query, "<Q>") if query in question else question
    else:
        shape = question.replace("\0", "<Q>")
    if not query:
        return question, None, {"query": query}
    lead = r.choice([""] * 16 + ["hello, ", "excuse me, ", "quick one: ", "one more thing: ", "say, ", "hey paguro, ", "ok so ", "just checking: ", "Hi! ", "Sorry. ", "hmm ", "another question: ", "btw ", "listen, ", "hey, ", "please, ", "tell me, ", "so ", "ok, ", "hi, ", "quick question: ", "and ", "by the way, ", "sorry, ", "well, ", "one question: ", "now, ", "do tell me: ", "I have a question: ", "hm, "])
    if r.random() < 0.04:
        lead = material.name(r) + r.choice([" asks: ", " wants to know: ", " needs to know ", ": "]) if r.random() < 0.5 else wordings_wide.before(r, False)
    message = fill(r, lead + shape, {"Q": query}, {"Q": 1.0}, close=r.random() < 0.3)
    return message if r.random() < 0.3 else message + "?" if message[-1].isalnum() else message, None, {"query": query}


_SECOND = [(r"\bI am\b", "you are"), (r"\bI was\b", "you were"), (r"\bI\b", "you"), (r"\bmy\b", "your"), (r"\bMy\b", "Your"), (r"\bour\b", "your"), (r"\bme\b", "you"), (r"\bmine\b", "yours")]


def second_person(text):
    """`my bike is green` -> `Your bike is green.`"""
    for pattern, new in _SECOND:
        text = re.sub(pattern, new, text)
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."
