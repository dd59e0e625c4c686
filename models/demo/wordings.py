"""A second grammar of requests: the parts of a wording (verb, noun, sign, place, order, politeness) are drawn one by one.

The shapes of `requests_files.py` were written whole; what nobody wrote was misunderstood. Here few combinations come twice.
Each function returns a shape with slots for `phrasing.fill`.
"""

import material
from phrasing import PLAIN, gerund, typo

_PAST = {"run": "ran", "do": "did", "give": "gave", "put": "put", "write": "wrote", "make": "made", "read": "read", "show": "showed", "send": "sent", "get": "got", "find": "found", "feed": "fed", "tell": "told", "bring": "brought", "keep": "kept", "see": "saw", "take": "took", "set": "set", "let": "let", "begin": "began"}
DONE = {**_PAST, "run": "run", "do": "done", "give": "given", "write": "written", "show": "shown", "see": "seen", "take": "taken"}
SIGNS = [": "] * 8 + [" - ", " -> ", " => ", " = ", "\n", ":\n", " \u2192 ", " >> ", " ... ", " \u2014 ", ", ", "; ", " > ", " ~ ", " -- ", " is ", " / "]
RUN = """run execute launch start invoke perform do call type enter try evaluate process trigger fire issue submit exec spawn test check use attempt send feed paste pass hand give throw put
crank activate boot""".split()
COMMAND = "command|command|command|cmd|line|one-liner|pipeline|invocation|statement|snippet|script|instruction|shell command|bash command|command line|shell line|terminal command|bash line|program|chain of commands|shell code|unix command".split("|")
SHELL = "shell|terminal|console|prompt|command line|bash|shell prompt|command prompt|cli|tty|system shell|bash prompt|terminal window|sh|machine|box|system|computer|sandbox|workspace".split("|")
OUTPUT = "output|result|results|printout|terminal output|shell output|stdout|response|answer|outcome|console output|command output|reaction|full output|exit status".split("|")
KIND = "great|nice|good|lovely|cool|fine|helpful|wonderful|perfect|kind|super|useful|splendid|excellent|grand".split("|")
AFTER_RUN = """, then (show|give|tell|report|print|read|bring|hand) me (the <o>|what it <s>|what <c>)|, and (show|tell|give) me (the <o>|what <c>)| and (report|print|show|paste|quote|copy|post|return) (the <o>|what <c>|what it <s>)|, I (want|need|have) to (see|know|check|read) (the <o>|what <c>)
|. (What|Tell me what) (does it|it) (say|print|show|give)|. (Show|Tell|Give) me the <o>|. (Thanks|Thank you|Cheers|Please)|, (quick|quickly|fast|carefully|gently|once)|, (what|tell me what) (do you get|comes out)|. What <c>|. I (need|want) the <o>|, (show|print) the <o>"""
AFTER_RUN = AFTER_RUN.replace("\n|", "|")


def _split(alternatives):
    """Splits on the bars that stand outside brackets."""
    out, depth, part = [], 0, ""
    for c in alternatives:
        depth += (c == "(") - (c == ")")
        if c == "|" and not depth:
            out.append(part)
            part = ""
        else:
            part += c
    return out + [part]


AFTER_RUN = _split(AFTER_RUN)


def regular(verb, table):
    head, _, rest = verb.partition(" ")
    head = table.get(head) or (head + "d" if head.endswith("e") else head[:-1] + "ied" if head.endswith("y") and head[-2] not in "aeiou" else head + "ed")
    return head + (" " + rest if rest else "")


def verb_of(r, verbs):
    """A verb, sometimes misspelt, sometimes none at all."""
    verb, x = r.choice(verbs), r.random()
    return typo(r, verb) if x < 0.07 else material.syllables(r, 2, 3) if x < 0.1 else verb


def lead(r):
    """Politeness before a plain verb, sometimes a whole sentence of it."""
    x = r.random()
    if x < 0.12:
        return r.choice(["pls ", "plz ", "please, ", "hey, ", "can u ", "could u ", "pls can you ", "I'm asking you to ", "you'd better ", "you'll want to ", "we've got to ", "let's quickly ", "now ", "now, ", "first ", "next ", "gonna need you to ", "hello! ", "Hi. ", "Hey there. Please ", "ok so ", "I've got a job for you: ", "One thing: ", "sorry to bother you, ", "what if you ", "why don't you ", "how about you "])
    if x < 0.16:
        return f"{material.name(r)}, " if x < 0.14 else f"{material.phrase(r, 2, 4)}. ".capitalize()
    return r.choice(PLAIN)


def asked(r, verb, thing):
    """`thing`, for instance `<PATH>`, asked for with `verb`, in one of many moods."""
    x = r.random()
    if x < 0.72:
        return lead(r) + verb + " " + thing
    if x < 0.8:
        return r.choice(["would be ", "it would be ", "it'd be ", "that'd be ", "might be "]) + r.choice(KIND) + r.choice([" if you ", " if somebody ", " if we ", " if you just "]) + regular(verb, _PAST) + " " + thing
    if x < 0.88:
        wish, doing = r.choice(["", "", "I'd appreciate ", "would you mind ", "do you mind ", "how about ", "what about ", "try ", "mind "]), gerund(verb) + " " + thing
        return wish + doing if wish or not thing.endswith(">") else doing + r.choice([f" would be {r.choice(KIND)}", " is what I want", " would help", ", can you do that", " is the next step"])
    if verb not in KNOWN:  # behind what is copied it could be a part of it
        return lead(r) + verb + " " + thing
    return r.choice(["I want ", "I need ", "I'd like ", "we need ", "have ", "get ", "please have ", "let's have ", "I'd love "]) + thing + " " + regular(verb, DONE)


KNOWN = set(RUN)  # verbs that may stand behind what is copied; more join below and in `wordings_more.py`


def name_of(r, nouns):
    """`this command`, `the following one-liner`, `command`."""
    return r.choice(["the ", "this ", "the following ", "following ", "", "my ", "that ", "one ", "the next ", "a ", "this next ", "the little ", "this one ", "this small ", "our "]) + r.choice(nouns)


def place(r):
    return r.choice([" in", " into", " at", " on", " inside", " through", " via", " with", " using", " from", " to"]) + r.choice([" the ", " a ", " my ", " your ", " this ", " "]) + r.choice(SHELL)


def after_run(r):
    said = r.choice(AFTER_RUN)
    return said.replace("<o>", r.choice(OUTPUT)).replace("<c>", r.choice(["came out", "comes out", "happened", "happens", "it did", "you got", "it says", "comes back", "gets printed", "is printed", "it wrote"])).replace("<s>", r.choice(["says", "prints", "shows", "gives", "returns", "wrote", "printed", "said"]))


def run(r):
    verb, noun, sign, x = verb_of(r, RUN), r.choice(COMMAND), r.choice(SIGNS), r.random()
    if x < 0.3:
        thing = r.choice(["<CMD>"] * 5 + [name_of(r, COMMAND) + sign + "<CMD>", noun + " <CMD>", "the " + noun + " <CMD>", r.choice(["this", "that", "it", "the following", "for me", "off"]) + sign + "<CMD>", "off <CMD>"])
        shape = asked(r, verb, thing)
    elif x < 0.44:
        it = r.choice(["it", "this", "that", "this one", "the thing", "the " + noun])
        told = r.choice(["here is ", "here's ", "this is ", "below is ", "there is ", "I have ", "I've got ", "take ", "look, ", "see ", "I wrote ", "I found ", "got ", "next comes ", "consider ", "now comes ", "I'd like to try "]) + r.choice(["a ", "the ", "one ", "my ", "another ", "some "]) + noun
        order = (lead(r) if r.random() < 0.3 else "") + verb + " " + it + (place(r) if r.random() < 0.3 else "")
        shape = r.choice([f"{told}. {order.capitalize()}{r.choice(['. ', ': ', ' - ', '.' + chr(10), ':' + chr(10), '! ', ', please. '])}<CMD>", f"{told}{sign}<CMD>", f"{told}, {order}{r.choice([': ', ' - ', '. ', chr(10)])}<CMD>", f"{told}: <CMD> - {order}", f"{order.capitalize()}. {told.capitalize()}: <CMD>", f"{told} for you to {verb}{sign}<CMD>", f"{told} that you should {verb}{sign}<CMD>"])
    elif x < 0.56:
        label = r.choice([noun, "the " + noun, noun + " to " + verb, f"please {verb}", f"{verb} {noun}", f"{verb} this {noun}", f"{gerund(verb)}", f"to {verb}", f"{noun} for the {r.choice(SHELL)}", r.choice(SHELL), "task", "now", verb, f"your {noun}", f"next {noun}", f"{r.choice(SHELL)} {noun}", f"{verb} {place(r).strip()}"])
        shape = label + sign + "<CMD>"
    elif x < 0.68:
        out, wish = r.choice(OUTPUT), r.choice(["I need", "I want", "I'd like", "give me", "get me", "show", "show me", "fetch", "tell me", "what is", "what's", "let me see", "can I see", "may I have", "could I get", "I'm after", "I'm interested in", "print", "bring me", "report", "we want", "please show me", "I would like to see", "let me have", "return"])
        shape = f"{wish} {r.choice(['the ', 'the ', 'the ', 'its ', 'all the ', ''])}{out} {r.choice(['of', 'for', 'from', 'by', 'when you ' + verb, 'of ' + gerund(verb), 'after ' + gerund(verb), 'that comes from', 'you get from', 'produced by', 'for the ' + noun, 'of this ' + noun + ':'])} <CMD>"
    elif x < 0.8:
        shape = asked(r, verb, "<CMD>") + place(r)
    elif x < 0.9:
        it = r.choice(["this", "it", "that", "this one", "that one", "the " + noun, "this " + noun, "this for me", "it now", "that please"])
        shape = "<CMD>" + r.choice([" - ", ", ", " -- ", " <- ", " <-- ", " <= ", " ^ ", "\n", " : ", " \u2190 ", "; please ", " ... ", " is the " + noun + ", ", " (", " # "])
        shape += r.choice(["", "", "please ", "now ", "can you ", "just "]) + verb + " " + it
        shape += ")" if " (" in shape else ""
    elif x < 0.95:
        auxiliary, seen = r.choice([("does", ""), ("would", ""), ("will", ""), ("might", ""), ("did", ""), ("should", "")])
        shape = r.choice(["what ", "what ", "tell me what ", "say, what ", "and what ", "which text ", "which lines "]) + auxiliary + " <CMD> " + r.choice(["print", "say", "show", "give", "return", "yield", "write", "produce", "report", "tell", "do", "reply", "send back", "list", "emit", "have to say", "come up with", "put out"]) + seen
    else:
        shape = r.choice(["<CMD>", "<CMD>", f"{verb} <CMD> for me", f"<CMD>{place(r)}", "<CMD> (please|now|for me|thanks|pls|quickly|right now|once|again)"])
    if shape.endswith("<CMD>") and r.random() < 0.3:
        shape += r.choice([" ", " ", ", "]) + r.choice(["please", "now", "for me", "thanks", "pls", "right now", "please?", "thank you", "ok?", "here", "again", "once more"]) if r.random() < 0.5 else after_run(r)
    return spaced(shape)


def spaced(shape):
    """A space where a slot and a word would touch."""
    for slot in ("<CMD>", "<PATH>", "<TEXT>", "<DIR>", "<PAT>"):
        at = shape.find(slot) + len(slot)
        if at >= len(slot) and at < len(shape) and shape[at].isalpha():
            shape = shape[:at] + " " + shape[at:]
    return shape


FILE = "file|file|file|document|note|text file|doc|page|textfile|script|log|config|memo|record|sheet".split("|")
SEE = "read|show|print|display|open|view|cat|give me|show me|let me see|fetch|load|output|present|quote|recite|pull up|bring up|dump|get|type out|go through|look into|look at|look through|look inside|have a look at|peek into|check|see|inspect|examine".split("|")
INSIDE = "text|content|contents|lines|words|what is in it|what it says|what's inside|what is written there|what stands there|all of it|its text|its content|its lines|everything in it|the whole text".split("|")


def read(r):
    verb, file, sign, x = verb_of(r, SEE), r.choice(FILE), r.choice(SIGNS), r.random()
    if x < 0.4:
        return asked(r, verb, r.choice(["<PATH>"] * 4 + [f"the {file} <PATH>", f"{file} <PATH>", f"the {r.choice(INSIDE[:5])} of <PATH>", f"the {r.choice(INSIDE[:5])} in <PATH>", f"my {file} <PATH>", f"the {r.choice(INSIDE[:5])} of the {file} <PATH>"]))
    if x < 0.55:
        inside = r.choice(INSIDE)
        return f"{lead(r)}{verb} <PATH>{r.choice(['', ' for me', ', please', ' now'])}{r.choice([' and ', ', then ', '; ', ', and ', '. Then ', '. '])}{r.choice(['show', 'print', 'tell me', 'give me', 'read', 'show me', 'quote', 'display', 'report'])} {'' if inside[:4] in ('what', 'its ', 'all ', 'ever', 'the ') else 'the '}{inside}"
    if x < 0.7:
        return r.choice([f"{verb}{sign}<PATH>", f"{file}{sign}<PATH>", f"<PATH>{sign.replace(' is ', ' - ')}{verb} it", f"<PATH> - {r.choice(['what is in it', 'what does it say', 'content please', 'read that', 'show that file', 'read this file', 'open that ' + file])}", f"{verb} this {file}{sign}<PATH>", f"<PATH>: {verb} that {file}", f"{r.choice(INSIDE[:5])} of <PATH>", f"{file} to {verb}{sign}<PATH>"])
    if x < 0.85:
        told = r.choice(["there is", "there's", "I have", "we have", "I've got", "you'll find", "I wrote", "somebody left", "look, there is"])
        return f"{told} a {file} {r.choice(['called ', 'named ', '', 'at '])}<PATH>{r.choice(['. ', ', ', '; ', ' - '])}{r.choice(['What does it say', 'what is in it', 'Read it', 'please read it', 'show it', 'Show me the text', 'what does it hold', 'Open it', 'Let me see it', 'print it', 'can you read it', 'I want to read it'])}"
    return r.choice(["what", "what", "what exactly", "what, if anything,", "tell me, what", "what kind of text", "which text", "so what"]) + " " + r.choice([f"does {r.choice(['', 'the ' + file + ' ', file + ' '])}<PATH> {r.choice(['say', 'hold', 'contain', 'have in it', 'consist of', 'tell me', 'read', 'look like inside'])}", f"{r.choice(['is', 'was', 'stands', 'did I write', 'did I put', 'can I read', 'is kept', 'has been saved'])} in {r.choice(['', 'the ' + file + ' '])}<PATH>"])


WRITE = "write|save|put|store|place|record|note|dump|add|keep|drop|jot|log|paste|set|insert|copy|enter|type|park|file|leave|deposit|preserve|pop|slip|stow".split("|")
CREATE = "create|make|write|generate|start|produce|set up|prepare|save|build|compose|draft|add|put together|open".split("|")
KNOWN.update(SEE, WRITE, CREATE)
TEXT = "text|line|sentence|words|message|content|contents|string|phrase|note|paragraph|entry|data|one line|single line|remark|reminder|body|lines".split("|")
INTO = "to|into|in|in|to|under|at|as|inside".split("|")
WITH = "with|containing|saying|that says|holding|reading|that reads|which says|stating|that contains|which holds|that holds|consisting of|which reads|having|and write|and put in".split("|")


def write(r):
    verb, file, text, sign, into, x = verb_of(r, WRITE), r.choice(FILE), r.choice(TEXT), r.choice(SIGNS), r.choice(INTO), r.random()
    where = into + r.choice([" ", " ", " ", " ", f" the {file} ", f" a {file} called ", f" {file} ", f" a new {file} ", f" a {file} named "]) + "<PATH>"
    which = r.choice(["the ", "this ", "the following ", "following ", "that ", "one ", "my ", "this little "]) + text
    if x < 0.24:
        thing = r.choice(["<TEXT>"] * 4 + [f"the {text} <TEXT>", f"{which} <TEXT>", f"this: <TEXT>", f"{text} <TEXT>"])
        down = " down" if verb in ("write", "jot", "note", "put", "type") and r.random() < 0.3 else ""
        return asked(r, verb, f"{thing}{down} {where}")
    if x < 0.48:
        return asked(r, verb, f"{r.choice([which, 'this', 'that', 'the following', ''])} {where}").replace("  ", " ") + sign + "<TEXT>"
    if x < 0.62:
        path_key, text_key, s, gap = r.choice([file, "path", "filename", "name", "target", "to", "file name", "destination", "where", "into"]), r.choice([text, "text", "content", "contents", "what"]), r.choice([": ", ": ", "=", " = ", ":", " - ", " -> "]), r.choice(["\n", "\n", ", ", "; ", " / ", " | ", " ", "\n\n"])
        head = r.choice(["", "", "", verb + gap, f"new {file}{gap}", f"{r.choice(CREATE)} a {file}{gap}", f"please {verb}{gap}"])
        return head + (f"{path_key}{s}<PATH>{gap}{text_key}{s}<TEXT>" if r.random() < 0.7 else f"{text_key}{s}<TEXT>{gap if gap != ' ' else chr(10)}{path_key}{s}<PATH>")
    if x < 0.8:
        made = verb_of(r, CREATE)
        return asked(r, made, f"{r.choice(['a ', 'the ', 'a new ', 'a small ', '', 'me a ', 'a short ', 'one '])}{file} {r.choice(['', '', 'called ', 'named ', 'at '])}<PATH> {r.choice(WITH)} {r.choice(['', '', '', f'the {text} ', f'this {text}: ', f'the {text}: ', ': '])}<TEXT>") if r.random() < 0.7 else f"{lead(r)}{made} <PATH> {r.choice(WITH)} {r.choice(['', 'the ' + text + ' '])}<TEXT>"
    if x < 0.88:
        return f"{lead(r)}{r.choice(['leave', 'write', 'put', 'make', 'drop', 'post'])} {r.choice(['a', 'the', 'one', 'a short', 'a little'])} {text} {r.choice(['to', 'in', 'into', 'at'])} <PATH>{r.choice([' saying ', ' that says ', ': ', ' with the words ', ' which reads ', ', namely ', ' reading ', ' telling '])}<TEXT>"
    if x < 0.94:
        return f"<PATH> {r.choice(['should', 'must', 'shall', 'has to', 'needs to', 'ought to', 'is to', 'will'])} {r.choice(['contain', 'hold', 'say', 'read', 'have', 'get', 'consist of'])} {r.choice(['', '', 'the ' + text + ' ', 'this: ', 'the following: ', 'just '])}<TEXT>{r.choice(['', '', ', please ' + verb + ' it', ', ' + verb + ' it', '. ' + verb.capitalize() + ' it', ', can you ' + verb + ' that', '. Please do it'])}"
    return r.choice([f"<TEXT>{r.choice([' - ', ' -> ', ' => ', chr(10), ' >> ', ' > ', ' ... '])}{verb} {r.choice(['this', 'that', 'it', 'this ' + text])} {where}", f"<PATH>{sign.replace(' is ', ': ')}<TEXT>{r.choice([chr(10), ' - ', '. '])}{verb} that", f"{r.choice(['I have', 'here is', 'here comes', 'there is'])} a {text}: <TEXT>{r.choice(['. ', chr(10), ' - '])}{verb} it {where}", f"{r.choice(['I need', 'I want', 'there must be', 'we want'])} a {file} <PATH>{r.choice(['. ', ', ', '; '])}{r.choice(['Its', 'The'])} {text}{r.choice([': ', ' is ', ' should be ', ' = '])}<TEXT>"])


def keep_data(r):
    verb, file, x = verb_of(r, WRITE), r.choice(FILE), r.random()
    source = r.choice(["this", "this", "this", "that", "it", "everything", "all of this", "all of it", "stdin", "the input", "my input", "standard input"] + ["what I " + r.choice(["piped", "sent", "gave", "pasted", "fed", "passed", "handed", "typed", "put", "wrote", "attached"]) + r.choice(["", " in", " you", " here", " above", " below", " to you"])] * 5
                      + [r.choice(["the ", "this ", "my ", "that ", "all the ", "the whole "]) + r.choice(["piped ", "given ", "attached ", "following ", "incoming ", "", ""]) + r.choice(TEXT + ["input", "stuff", "data", "block", "lines", "pipe", "stream", "code", "table"])] * 6)
    into = r.choice(INTO)
    where = into + r.choice([" ", " ", " ", f" the {file} ", f" a {file} called ", f" {file} ", f" a {file} named "]) + "<PATH>"
    if x < 0.5:
        return asked(r, verb, f"{source} {where}")
    if x < 0.65:
        return f"{r.choice(['can', 'could', 'may', 'should', 'shall', 'will', 'would', 'must'])} {source} {r.choice(['go', 'be saved', 'be stored', 'be put', 'be written', 'live', 'end up', 'land', 'be kept'])} {where}"
    if x < 0.78:
        return f"{r.choice(['I want', 'I need', 'I would like', 'we want', 'please have', 'I like', 'have', 'get', 'let us have', 'I must have'])} {source} {r.choice(['saved', 'stored', 'written', 'kept', 'put', 'placed', 'filed', 'recorded', 'archived'])} {where}"
    if x < 0.9:
        return f"<PATH> {r.choice(['should', 'must', 'shall', 'has to', 'is to', 'needs to', 'will'])} {r.choice(['hold', 'contain', 'have', 'get', 'receive', 'store', 'keep', 'become'])} {source}"
    return r.choice([f"{source} -> <PATH>", f"{source} goes {where}", f"{lead(r)}{r.choice(CREATE)} {r.choice(['', f'a {file} ', f'the {file} '])}<PATH> {r.choice(['from', 'out of', 'with', 'using', 'that contains', 'containing'])} {source}", f"{file}: <PATH>", f"{verb} as: <PATH>", f"target{r.choice(SIGNS)}<PATH>", f"{verb} {source}, the {file} is <PATH>", f"use {source} as the content of <PATH>"])
