"""A third grammar of requests: whole clauses around them (why, when, for whom), goals before a command, calls written like code.

What stands around a request is made of random words too, so that the model learns where a request ends and not how people
usually go on. The functions for a tool return a shape with slots for `phrasing.fill`, like those of `wordings.py`.
"""

import json

import material
from phrasing import GERUND, PLAIN, gerund, typo
from wordings import COMMAND, FILE, INSIDE, OUTPUT, RUN, SEE, SHELL, TEXT, WRITE, CREATE, asked, lead, regular, verb_of, _PAST

DOING = """clean sort check count paint fix mend ship move pack plan test start finish teach learn watch measure weigh collect compare answer sign
order print publish review update prove train join visit help build repair explain prepare present deliver share close open water plant feed call meet cook
bake sell rent buy carry draw record improve demonstrate verify settle debug tidy polish inform discuss invite pay thank believe follow""".split()
THINGS = "it|it|this|that|them|everything|something|all of it|these|the rest|a few things|the whole thing|something else|nothing".split("|")
STATES = "ready|late|done|missing|curious|in a hurry|busy|new here|broken|no longer needed|not needed any more|empty|full|old|lost|wrong|important|out of date|unsure|too long|almost over|urgent|the last one|a mess|tired|bored|stuck|confused|outdated|fine|due today|fresh|gone".split("|")
WHEN = ["", "", "", "", " now", " today", " tomorrow", " tonight", " again", " soon", " yesterday", " this week", " first", " at once", " next week", " later", " by noon", " in a minute", " this morning", " any minute", " already", " for days"]
GREET = "hi|hello|hey|hey there|good morning|good evening|good day|howdy|dear paguro|paguro|hey paguro|ok paguro|greetings|yo|hello there|hi there|morning|salut|hiya".split("|")
LATE = """pls plz please thx tnx thanks ty now next then together instead too later again once twice quickly first today tonight already only here there locally asap ASAP ok okay alright somewhere
straightaway promptly carefully gently properly anyway afterwards yourself right? ok? yes? please? plz? pls! thanks! now! kindly meanwhile""".split() + """real quick|for me|for us|for once|as well|right now|this time|this minute|this instant|one more time|for a start|for fun|in one go|just once|if you would|if that is ok|if it's ok|if you don't mind
|if you can|whenever you are ready|when ready|when you have time|and wait|and that's it|and nothing more|and stop there|and we are done|and be done|will ya|would ya|would you|could you|over here|on my machine|on my system|on my box|on your side|from the workspace|in my name|so I can see|so that I see it|to see what happens
|thank you|thank you so much|thanks a lot|many thanks|thanks in advance|cheers mate|much obliged|please and thank you|no rush|don't wait|no questions asked|I beg you|my friend|my dear|mate|buddy|dude|sir|old chap|let's go|let's see|and show me|and let me see|and tell me|and report|if possible|at your leisure|and only that|or else|as a test|as an example|by the way""".replace("\n", "").split("|")


def doer(r):
    """A subject, and whether its verb takes an s."""
    x = r.random()
    if x < 0.45:
        return "I", False
    if x < 0.6:
        return r.choice(["we", "they", "people", "my friends", "some of us", "the others"]), False
    if x < 0.75:
        return r.choice(["my ", "the ", "our "]) + material.word(r), True
    return r.choice([material.name(r), "somebody", "nobody", "everyone", "someone", "my boss", "my wife", "the team", "a friend", "she", "he", "the boss", "a colleague"]), True


def thing(r):
    x = r.random()
    if x < 0.4:
        return r.choice(THINGS)
    return r.choice(["the ", "the ", "my ", "our ", "a ", "some ", "this ", "those ", "these "]) + material.word(r) + (" " + material.word(r) if x > 0.9 else "s" if x > 0.7 else "")


def clause(r):
    """A main clause of no importance."""
    who, s = doer(r)
    verb = r.choice(DOING) if r.random() < 0.8 else material.syllables(r, 1, 2)
    be, has, does = ("am" if who == "I" else "is" if s else "are"), ("has" if s else "have"), ("doesn't" if s else "don't")
    form = r.choice([
        lambda: f"{who} need{'s' if s else ''} {thing(r)}{r.choice(WHEN)}", lambda: f"{who} want{'s' if s else ''} to {verb} {thing(r)}{r.choice(WHEN)}", lambda: f"{who} {regular(verb, _PAST)} {thing(r)}{r.choice(WHEN)}", lambda: f"{who} {be} {gerund(verb)} {thing(r)}{r.choice(WHEN)}",
        lambda: f"{who} {r.choice(['cannot', 'can', 'must', 'might', 'will', 'should', 'could', 'would'])} {verb} {thing(r)}{r.choice(WHEN)}", lambda: f"{who} {has} to {verb} {thing(r)}{r.choice(WHEN)}", lambda: f"{who} {be} {r.choice(STATES)}{r.choice(WHEN)}", lambda: f"{who} {has} {r.choice(['lost', 'seen', 'got', 'changed', 'made', 'no use for', 'no time for'])} {thing(r)}",
        lambda: f"{thing(r)} is {r.choice(STATES)}{r.choice(WHEN)}", lambda: f"there is {thing(r)} to {verb}{r.choice(WHEN)}", lambda: f"{who} {does} {r.choice(['know', 'remember', 'trust', 'understand', 'like', 'mind', 'care about'])} {thing(r)}", lambda: f"{who} asked {r.choice(['me ', 'us ', ''])}for {thing(r)}{r.choice(WHEN)}", lambda: f"it is {r.choice(['for ', 'about '])}{thing(r)}", lambda: f"that is {r.choice(['for', 'from', 'about'])} {material.name(r)}"])
    return form().replace("nothing", "everything") if who in ("nobody", "I") else form()


def goal(r):
    """What is to be done, in the imperative: `sort the towels`."""
    verb = r.choice(DOING + "list show find read see write search get print display look up edit save".split()[:12]) if r.random() < 0.85 else material.syllables(r, 1, 2)
    return verb + " " + thing(r) + r.choice(["", "", "", " for me", " first", " now", " and " + r.choice(DOING) + " it", " with care", " in " + material.word(r), " please"])


def before(r, whole):
    """What may stand before a request; `whole`: it must end its sentence, as the request begins with what is copied."""
    x = r.random()
    if x < 0.2:
        return r.choice(GREET).capitalize() + r.choice(["! ", ". ", ", ", "! ", " " + material.name(r) + ", ", "\n"]) if not whole else r.choice(GREET).capitalize() + r.choice(["! ", ". "])
    text = clause(r)
    if x < 0.5 or whole:
        return text[0].upper() + text[1:] + r.choice([". ", ". ", ". ", "! ", ".\n", "... "])
    if x < 0.75:
        return text + r.choice([", so ", ", so please ", "; ", ": ", " - ", ", therefore ", " and that's why ", ", hence ", ", now "])
    if x < 0.9:
        return r.choice(["if ", "since ", "because ", "as ", "before ", "after ", "while ", "when ", "in case ", "now that ", "seeing that ", "although "]) + text + ", "
    return r.choice([f"to {goal(r)}, ", f"in order to {goal(r)}, ", "step " + str(r.randint(1, 9)) + ": ", str(r.randint(1, 9)) + ". ", "- ", "TODO: ", "[" + r.choice(["urgent", "task", material.word(r)]) + "] ", f"for {material.name(r)}: ", "new task: ", "next one: ", "quick one: ", "question: ", "sorry, but ", "small favour: ", "one last thing: ", f"thanks! "])


def behind(r, sentence):
    """What may stand behind a request; `sentence`: a sentence of its own, too."""
    text, x = clause(r), r.random()
    if sentence and x < 0.3:
        return ". " + text[0].upper() + text[1:] + r.choice([".", "", "!"])
    if x < 0.62:
        return r.choice([", ", ", ", " because ", " since ", ", because ", ", as ", " - ", ", so that ", ", or ", " before ", " while ", " as ", ", otherwise ", ", and ", " (", ", for "]) + text
    if x < 0.74:
        return r.choice([", I want to ", ", I need to ", " so I can ", " so that we can ", ", it helps me ", " and help me "]) + goal(r)
    return r.choice([" ", " ", " ", " ", ", "]) + r.choice(LATE)


def around(r, message, copied):
    """`message` with something before or behind it; `copied`: the texts in it that are copied."""
    x = r.random()
    if x < 0.6:
        whole = any(message.startswith(c) for c in copied)
        head = before(r, whole)
        if head.rstrip(" \n")[-1] not in ".!?:-]" and message[:2] != "I " and not whole and message[1:2].islower():
            message = message[0].lower() + message[1:]
        message = head + message
    if x > 0.45 and (message[-1].isalnum() or message[-1] in "\"'`"):
        ends = any(message.endswith(c) for c in copied)
        tail = behind(r, not ends)
        message += tail + (")" if tail.startswith(" (") else "")
    return message


def run(r):
    verb, x, doing = verb_of(r, RUN), r.random(), r.choice(["run", "execute", "start", "try", "type", "enter", "call", "launch", "do"])
    if x < 0.3:
        link = r.choice([" with ", " with ", " using ", " by running ", " via ", " by means of ", ": ", ": ", ", namely ", ", i.e. ", " - use ", " - ", ", that is ", " like this: ", " this way: ", " as follows: ", ". Use ", ". Use ", ". Do it with ", ". Command: ", ". The command is ", " -> ", " through ", ", " + doing + " ", ". " + doing.capitalize() + " ", ". Please " + doing + " ", ". Use the command ", ", e.g. ", ", simply ", "; " + doing + " ", ", the command is ", " and " + doing + " ", ", i.e. " + doing + " ", ". It's ", ", with this command: "])
        want = r.choice([goal(r), goal(r), lead(r) + goal(r), clause(r), r.choice(["which ", "what ", "how many "]) + material.word(r) + "s " + r.choice(DOING) + r.choice(["", " here", " " + thing(r)]) + "?", r.choice(["is ", "are ", "do ", "does ", "when will "]) + clause(r) + "?"])
        return want + ("" if want[-1] != "?" else "") + (link if want[-1] != "?" else r.choice([" Use ", " Run ", " Try ", " The command is ", " Command: ", " Execute ", " Do ", " Check with ", " Type ", " I think it is "])) + "<CMD>"
    if x < 0.45:
        done = {"run": "run", "do": "done"}.get(doing, regular(doing, _PAST))
        return r.choice(["I want to see ", "I wanna see ", "i want ", "let me see ", "I'd like to see ", "I need ", "I'd love ", "we want ", "show me ", "can I have ", "could I get ", "may I see ", "I'd like to have ", "get ", "please get ", "I would like ", "kindly have ", "I expect "]) + "<CMD> " + done + r.choice(["", "", f" {r.choice(['in', 'on', 'at', 'inside'])} {r.choice(['the ', 'a ', 'my ', 'your '])}{r.choice(SHELL)}", " " + r.choice(LATE), " by you"])
    if x < 0.6:
        seems = r.choice(["I think ", "I guess ", "I suppose ", "maybe ", "perhaps ", "I say ", "", "I believe ", "now ", "well, ", "so "])
        return seems + r.choice(["we should", "we could", "we might", "you should", "you could", "you might", "you may", "we can", "we ought to", "you can", "I should", "the " + r.choice(SHELL) + " could", "somebody should", "you'd better", "we'd better"]) + f" {doing} <CMD> " + r.choice(LATE)
    if x < 0.72:
        comes = r.choice(["what happens", "what comes out", "what do we get", "what do you see", "what do I get", "what will I see", "what gets printed", "what's the answer", "what's printed", "what would I see", "which output comes", "what is shown", "what's the result", "what changes", "what do you get back"])
        return comes + r.choice([" if ", " when ", " after ", " once "]) + r.choice(["you ", "I ", "we ", "someone "]) + doing.replace("do", "run") + " <CMD>" + r.choice(["", "", " here", " " + r.choice(["now", "there", "again", "locally", "today"])]) + r.choice(["?", "?", " ?", " ?", "", "??"])
    if x < 0.84:
        return r.choice([f"{verb} <CMD> {r.choice(LATE)}", f"{doing} <CMD> {r.choice(LATE)}", f"{doing}, {r.choice(LATE)}, <CMD>", f"<CMD> {r.choice(LATE)}", f"{typo(r, doing)} <CMD> {r.choice(LATE)}", f"{doing} <CMD> {r.choice(LATE)} {r.choice(LATE)}"])
    if x < 0.92:
        return r.choice(["let's see ", "let us see ", "I wonder ", "tell me ", "show me ", "see ", "check ", "find out ", "let me know ", "I'd like to know ", "say ", "I'm curious ", "who knows ", "guess ", "can you tell "]) + r.choice(["what ", "what ", "what exactly ", "the thing that "]) + "<CMD> " + r.choice(["prints", "says", "shows", "gives", "returns", "does", "reports", "tells us", "outputs", "writes", "yields", "produces", "has to say", "leads to", "spits out", "comes back with", "finds", "lists", "answers"]) + r.choice(["", "", "", " here", " now", " today", " on this machine", ", please", " " + r.choice(LATE)])
    sign = r.choice([": ", ": ", "\n", ":\n", " = ", " -> ", " - "])
    return f"{r.choice(['a', 'one', 'here is a', 'I have a', 'this is a', 'another', 'my', 'the', 'next'])} {r.choice(['small ', 'short ', 'tiny ', 'long ', 'nice ', '', '', 'little '])}{r.choice(COMMAND)}{r.choice([' to ' + doing, ' for you', ' for the ' + r.choice(SHELL), '', '. ' + doing.capitalize() + ' it in ' + r.choice(['sh', 'bash', 'the shell', 'a terminal']), '. Please ' + doing + ' it', ' I want to ' + doing, ', ' + doing + ' it', ' that ' + clause(r)])}{sign}<CMD>"


def read(r):
    verb, x = verb_of(r, SEE), r.random()
    has = r.choice(["has", "holds", "contains", "says", "has got", "keeps", "includes", "consists of", "tells"])
    all_ = r.choice(["all", "whatever", "everything", "anything", "all that", "everything that", "the stuff", "the words", "each line", "the text that", "all the lines"])
    if x < 0.3:
        return r.choice([f"{lead(r)}{verb} {all_} <PATH> {has}", f"{lead(r)}{verb} {all_} {r.choice(['is', 'was', 'has been', 'got'])} {r.choice(['stored', 'kept', 'saved', 'put', 'noted', 'left', 'recorded'])} in <PATH>".replace("that is", "that is"), f"{lead(r)}{verb} {r.choice(['whatever', 'all that', 'everything', 'what'])} {r.choice(['you find', 'you see', 'we have', 'I wrote', 'they wrote', 'stands', 'we kept', 'can be read'])} in <PATH>"])
    if x < 0.5:
        return r.choice(["I'd love to ", "I would love to ", "I'd be happy to ", "may I ", "could I ", "can we ", "let us ", "am I allowed to ", "I am dying to ", "I have to ", "it's time to ", "my boss wants to ", f"{material.name(r)} wants to ", "I was told to "]) + r.choice(["know what is in", "know what <PATH> says~", "see what is in", "read", "see", "have a look at", "hear what is in", "take a look into", "look at", "find out what is in", "learn what stands in"]).replace("~", "").replace("<PATH> says", "\0") + " <PATH>" + r.choice(["", "", " now", " please", " for once", " " + r.choice(LATE)])
    if x < 0.65:
        part, up = r.choice(["up", "up", "out", "over"]), r.choice(["open", "bring", "pull", "call", "load", "get", "read", "put", "print", "show", "fetch", "dig"])
        return lead(r) + r.choice([f"{up} {part} <PATH>", f"{up} <PATH> {part}", f"{up} {part} the {r.choice(FILE)} <PATH>", f"{up} <PATH> {part} {r.choice(['for me', 'please', 'on screen', 'on my screen'])}", f"{up} {part} <PATH> and {r.choice(['read it', 'show it', 'quote it', 'print it', 'tell me what it says', 'let me see it', 'give me the text'])}"])
    if x < 0.8:
        return r.choice(["what's in", "what is in", "whats inside", "wats in", "what stands in", "content of", "contents of", "text of", "show content of", "show contents of", "first lines of", "beginning of", "inside of", "look in", "peek at", "what'd I write in", "what have we got in", "what did we put in", "what do you find in", "what can we read in", "what was saved to", "what was written to"]) + r.choice([" ", " ", f" the {r.choice(FILE)} ", f" {r.choice(FILE)} ", " my "]) + "<PATH>" + r.choice(["", "", "?", " " + r.choice(LATE), " please"])
    return r.choice([f"<PATH>? {r.choice(['Show', 'Read', 'Print', 'Open', 'Quote', 'Display'])} it{r.choice(['.', '', ' please', '!'])}", f"I {r.choice(['need', 'want', 'require', 'miss', 'would like'])} {r.choice(['the words', 'the text', 'the content', 'the lines', 'what is'])} {r.choice(['in', 'of', 'from'])} <PATH>".replace("what is of", "what is in").replace("what is from", "what is in"), f"{lead(r)}{r.choice(['make', 'let'])} {r.choice(['me see', 'me read', 'us see', 'us read'])} <PATH>".replace("make me", "let me").replace("make us", "let us"), f"{lead(r)}{r.choice(['tell', 'say', 'repeat', 'quote', 'recite', 'read'])} {r.choice(['me ', 'to me ', ''])}{r.choice(['what is', 'what stands', 'what was put'])} in <PATH>".replace("tell to me", "tell me"), f"{gerund(verb)} <PATH> {r.choice(['would be', 'is', 'might be'])} {r.choice(['nice', 'great', 'useful', 'a start', 'what I want', 'enough', 'good'])}"])


def write(r):
    verb, made, file, text, x = verb_of(r, WRITE), verb_of(r, CREATE), r.choice(FILE), r.choice(TEXT), r.random()
    there = r.choice(["in it", "in it", "inside", "inside it", "in there", "as its text", "as its content", "as content", "as the only line", "as its first line", "as the text"])
    done = r.choice(["made", "created", "written", "filled", "started", "saved", "generated", "produced"])
    if x < 0.2:
        return r.choice([f"{lead(r)}{made} {r.choice(['', 'a file ', 'the file ', 'a new file '])}<PATH> with <TEXT> {there}", f"{r.choice(['can', 'could', 'may', 'should', 'would', 'will', 'might'])} <PATH> be {done} with <TEXT> {there}", f"<PATH>{r.choice([': ', ', ', ' - '])}{verb} <TEXT> {r.choice(['in it', 'into it', 'there', 'in there', 'inside', 'to it', 'down'])}", f"I {r.choice(['want', 'need'])} {r.choice(['a file ', ''])}<PATH> {done} with <TEXT> {there}"])
    if x < 0.42:
        be = r.choice(["belongs", "should be", "should live", "has to land", "must be", "ought to be", "needs to stand", "shall be", "should be kept", "must appear", "is to be written", "has to stand", "wants to be", "should be found", "will be kept", "could be put"])
        want = r.choice(["I want", "I need", "I'd like", "we want", "get", "have", "let", "I would like", "I wish", "we need"])
        live = {"have": "stand", "let": "stand"}.get(want) or r.choice(["to live", "to stand", "to stay", "to be", "to be found", "to be saved", "saved", "kept", "written", "stored", "to go", "put", "noted", "to be written", "written down"])
        part = r.choice(["<TEXT>", "<TEXT>", f"the {text} <TEXT>", f"this {text}: <TEXT>"])
        return r.choice([f"{part} {be} in <PATH>", f"{want} {part} {live} {r.choice(['in', 'in', 'into', 'inside'])} <PATH>"])
    if x < 0.58:
        down = r.choice(["out", "down", "up", "down", "away", "off", "over", "in"])
        act = r.choice(["write", "type", "note", "jot", "put", "take", "copy", "spell", "print", "send", "save", "pack", "scribble", "key", "lay", "hammer", "paste"])
        return asked(r, act, r.choice([f"{down} <TEXT> {r.choice(['to', 'in', 'into'])} <PATH>", f"<TEXT> {down} {r.choice(['to', 'in', 'into'])} <PATH>", f"{down} the {text} <TEXT> {r.choice(['to', 'in', 'into'])} {r.choice(['', 'the file ', 'a file called '])}<PATH>"]))
    if x < 0.75:
        its = r.choice(["its content", "its text", "the text", "the content", "its only line", "the first line", "its " + text, "the words in it", "what stands in it", "the inside"])
        link = r.choice([" is ", ": ", " should be ", " = ", " being ", " shall be ", " must read ", ", namely ", " -> "])
        return r.choice([f"{lead(r)}{made} {r.choice(['', 'a file ', 'the file ', f'a {file} '])}{r.choice(['', 'called ', 'named '])}<PATH>{r.choice([', ', '; ', '. ', ' - ', ' and ', ', and ', ' where '])}{its}{link}<TEXT>", f"{r.choice(['new', 'another', 'one', 'a fresh'])} {file}, {r.choice(['name', 'called', 'named', 'title', 'path'])} <PATH>, {text}{r.choice([' ', ': ', ' = '])}<TEXT>", f"{lead(r)}{r.choice(['open', 'take', 'start', 'use', 'go to'])} <PATH> and {r.choice(['put', 'write', 'type', 'enter', 'leave', 'place'])} <TEXT> {r.choice(['in it', 'there', 'inside', 'into it', 'in'])}", f"{lead(r)}{r.choice(['fill', 'load', 'feed', 'equip', 'provide', 'supply'])} <PATH> with {r.choice(['', '', 'the ' + text + ' ', 'this: '])}<TEXT>"])
    if x < 0.9:
        why = clause(r)
        return r.choice([f"{why}. {verb.capitalize()} <TEXT> {r.choice(['to', 'in', 'into'])} <PATH>", f"{lead(r)}{made} {r.choice(['a ', 'the ', 'me a ', 'us a ', 'one '])}<PATH> {file} {r.choice(['with', 'that says', 'saying', 'containing', 'which says', 'holding', 'with the words'])} <TEXT>", f"{lead(r)}{made} <PATH> for {material.name(r)} with {r.choice(['the ' + text + ' ', '', 'this ' + text + ': '])}<TEXT>", f"{lead(r)}{r.choice(['append', 'add', 'write', 'put', 'store'])} <TEXT> as <PATH>", f"{lead(r)}{r.choice(['leave', 'post', 'drop', 'set'])} {r.choice(['', 'a ', 'the '])}<TEXT> in <PATH>".replace(" a <", " <")])
    return r.choice([f"{made} file <PATH> <TEXT>", f"{made} <PATH> <TEXT>", f"{verb} <PATH> <TEXT>", f"<PATH> = <TEXT>", f"<PATH> <- <TEXT>", f"<TEXT> into <PATH>", f"<TEXT> as <PATH>", f"<PATH>, text <TEXT>", f"file <PATH>, content <TEXT>", f"to <PATH>: <TEXT>", f"in <PATH>: <TEXT>"])


def edit(r):
    x = r.random()
    wrong = r.choice(["is wrong", "is a typo", "is outdated", "was a mistake", "is old", "is not right", "must go", "has to go", "is misspelt", "is incorrect", "is bad", "does not fit", "is stale"])
    right = r.choice(["should be", "it should be", "make it", "the right one is", "it is", "correct is", "write", "put", "use", "I meant", "we want", "it has to be", "change it to", "it must read"])
    if x < 0.2:
        return r.choice([f"{lead(r)}substitute <NEW> for <OLD> in <PATH>", f"in <PATH>, {r.choice(['substitute', 'put in', 'write'])} <NEW> for <OLD>", f"{lead(r)}{r.choice(['put', 'use', 'write', 'insert', 'place', 'have'])} <NEW> {r.choice(['in place of', 'instead of', 'rather than', 'where you find', 'where you see', 'wherever there is'])} <OLD> in <PATH>", f"<NEW> {r.choice(['instead of', 'in place of', 'rather than'])} <OLD> in <PATH>", f"<PATH> {r.choice(['needs', 'wants', 'should have', 'must have', 'should say'])} <NEW> {r.choice(['instead of', 'in place of', 'rather than', 'where it has'])} <OLD>"])
    if x < 0.45:
        return r.choice([f"<OLD> in <PATH> {wrong}{r.choice([', ', '; ', '. ', ' - '])}{right} <NEW>", f"in <PATH>,? <OLD> {wrong}{r.choice([', ', '; ', '. ', ' - '])}{right} <NEW>", f"{r.choice(['the file ', '', ''])}<PATH> {r.choice(['says', 'has', 'reads', 'contains', 'holds', 'still says', 'now says', 'shows'])} <OLD>{r.choice([', ', '. ', '; ', ' but '])}{right} <NEW>", f"I {r.choice(['wrote', 'typed', 'put', 'left', 'have'])} <OLD> in <PATH>{r.choice([', ', ' but ', '; ', '. '])}{right} <NEW>", f"<OLD> {r.choice(['was meant to be', 'ought to have been', 'should have become', 'was supposed to be', 'is now', 'is now called', 'became', 'has become'])} <NEW> in <PATH>", f"in <PATH> <OLD> {r.choice(['is now', 'is now called', 'became', 'was renamed to', 'has to become', 'ought to become'])} <NEW>"])
    if x < 0.7:
        verb = r.choice(["trade", "swap out", "replace", "change", "turn", "make", "rewrite", "convert", "flip", "move", "bump", "raise", "set", "switch", "transform", "shift"])
        to = {"trade": "for", "swap out": "for", "replace": "with", "turn": "into", "make": "into", "convert": "into", "transform": "into"}.get(verb, "to")
        return r.choice([f"{lead(r)}{verb} <OLD> {to} <NEW> in <PATH>", f"{lead(r)}{r.choice(['open', 'edit', 'take', 'go into', 'go to', 'look into', 'touch'])} <PATH> and {verb} <OLD> {to} <NEW>", f"{gerund(verb)} <OLD> {to} <NEW> in <PATH>", f"{r.choice(['I want', 'I need', 'I would like', 'kindly have', 'please get', 'let us have'])} <OLD> {r.choice(['changed to', 'replaced with', 'replaced by', 'turned into', 'rewritten as', 'swapped for', 'set to', 'to be'])} <NEW> in <PATH>"])
    if x < 0.85:
        return r.choice([f"<PATH>: not <OLD>, but <NEW>", f"<PATH>: <OLD> out, <NEW> in", f"<PATH>, <OLD>, <NEW>: {r.choice(['replace', 'edit', 'change'])}", f"<PATH>\n-<OLD>\n+<NEW>", f"<PATH>:\n- <OLD>\n+ <NEW>", f"old: <OLD>, new: <NEW>, {r.choice(['file', 'in', 'path'])}: <PATH>", f"{r.choice(['replace', 'change', 'edit'])} in <PATH>: <OLD> {r.choice(['with', 'to', '->', '=>', 'by'])} <NEW>", f"{r.choice(['find', 'search'])} <OLD>, {r.choice(['replace with', 'put', 'write'])} <NEW>, {r.choice(['in', 'file'])} <PATH>", f"<OLD> {r.choice(['->', '=>', 'to', 'into'])} <NEW> in <PATH>", f"edit <PATH> <OLD> <NEW>", f"in <PATH>: <OLD> {r.choice(['->', '=>', 'to'])} <NEW>"])
    return r.choice([f"{clause(r)}: {r.choice(['change', 'replace', 'edit', 'correct'])} <OLD> {r.choice(['to', 'with'])} <NEW> in <PATH>", f"{lead(r)}{r.choice(['fix', 'correct', 'update', 'mend', 'adapt', 'amend'])} <PATH>{r.choice([': ', ', ', '. ', '; ', ' - '])}<OLD> {r.choice(['->', 'should be', 'must be', 'is', 'becomes', 'has to be', 'needs to be', 'ought to be'])} <NEW>", f"the {r.choice(['price', 'version', 'name', 'word', 'line', 'date', 'value', 'number', 'title', material.word(r)])} in <PATH> {r.choice(['changed', 'is different', 'went up', 'moved', 'has changed', 'is new'])} from <OLD> to <NEW>", f"<OLD>? No, <NEW>. {r.choice(['Fix', 'Correct', 'Change', 'Edit'])} <PATH>", f"{r.choice(['update', 'change', 'edit'])} <PATH> from <OLD> to <NEW>"])


def list_folder(r):
    folder, x = r.choice(["folder", "directory", "dir", "folder"]), r.random()
    look = r.choice(["look", "peek", "see", "check", "show me", "let me see", "tell me", "I want to see", "I'd like to know", "find out", "let us see", "show", "can you see", "I need to know", "say"])
    if x < 0.35:
        what = r.choice(["what is in", "what's in", "what is inside", "what's inside", "whats inside", "what lies in", "which files are in", "what you find in", "what we have in", "everything in", "all there is in", "the stuff in"])
        return f"{r.choice(['', '', 'please ', 'hey, '])}{look.replace('look', 'see').replace('peek', 'see')} {what} the <DIR> {folder}"
    if x < 0.6:
        return r.choice([f"<DIR>{r.choice([': ', ', ', ' - ', '. ', '; '])}{r.choice(['list', 'show', 'open', 'show me', 'what is in', 'look into', 'enumerate', 'go through'])} {r.choice(['that', 'this', 'the'])} {folder}", f"{r.choice(['list', 'show', 'ls', 'dir', 'open', 'browse'])} {folder} <DIR>", f"{folder} <DIR> {r.choice(['please', 'listing', 'list', 'content', 'contents', ', list it', ': list it', 'files'])}".replace(" ,", ",").replace(" :", ":"), f"{r.choice(['what', 'which', 'which of my'])} files {r.choice(['live', 'are', 'sit', 'lie', 'do I keep', 'have I got', 'did we put', 'can you find', 'do you see'])} in {r.choice(['the ' + folder + ' ', 'my ' + folder + ' ', folder + ' '])}<DIR>"])
    if x < 0.8:
        return f"{lead(r)}{r.choice(['list', 'enumerate', 'name', 'show', 'print', 'give me', 'count up', 'read out', 'spell out'])} {r.choice(['whatever is', 'what is', 'all that is', 'everything that is', 'all there is', 'the names of the files', 'all files', 'every entry'])} {r.choice(['in', 'inside'])} the {folder} <DIR>"
    return f"{r.choice(['go', 'step', 'look', 'have a look', 'take a look', 'peek', 'jump'])} {r.choice(['into', 'inside'])} the {r.choice([folder + ' <DIR>', '<DIR> ' + folder])} and {r.choice(['list', 'show', 'tell me', 'name', 'print'])} {r.choice(['what is there', 'the files', 'what you find', 'its files', 'the entries', 'everything', 'what you see'])}"


HERE = ["(what|which) (files|documents|things|folders|entries|items) (do you|can you|can we|do we|could you|did you) (find|see|have|notice|discover|reach) (here|in here|around here|there|in this place|in the workspace|at hand|at the moment|right here|in this folder)", "(what's|whats|what is) (in here|around here|around|lying around|in the workspace|in my workspace|in this dir|in the current dir|at this place|there to see|on the shelf)",
        "(which|what) (files|things|documents) (lie|are lying|live|sit|stand|are stored|are saved|are kept) (here|in here|around|in the workspace|in this folder|in the current folder)", "(show|list|name|tell|give|print) (me|us) (what|whatever|everything|all that) (is|lies|we have|you have|you see|you find) (here|in here|around|in this folder|in the workspace|in the current folder)",
        "(do|can) you (see|find) (any|some|my) (files|documents|notes) (here|around|in here|in the workspace)", "(ls|dir|ls please|list please|list here|list dir|list directory|list_dir|files|files?|files please|what files|show files|all files|everything here|my files)", "(a|the|one) (quick |short |full |complete |) (list|listing|overview|inventory) of (the|this|my|our) (workspace|folder|directory|files|place)", "(have|take) a (look|peek) around (and tell me|and say|and show me|to see) (what files there are|what you see|what is here|which files exist)", "(I want|I'd like|I need|we need) (to see|to know|a list of|an overview of) (all my files|the files here|the files around here|every file here|what is around|what files I have|which files there are)"]


def search(r):
    x = r.random()
    part = r.choice(["in any", "in some", "in one", "in which", "in any", "somewhere in a", "in at least one"]) + r.choice([" file", " note", " document", " of my files", " of the files", " of my notes", " file here", " file around here", " text", " place", " source file", " line"])
    found = r.choice(["mentioned", "used", "named", "written", "found", "said", "quoted", "spelled", "called", "listed", "explained", "defined"])
    lines = r.choice(["lines", "files", "places", "notes", "documents", "spots", "all lines", "each line", "any file", "every file", "the lines", "all notes", "the file"])
    s = "s" if lines in ("each line", "any file", "every file", "the file") else ""
    if x < 0.25:
        return r.choice([f"is <PAT> {found} {part}", f"was <PAT> ever {found} {part}", f"<PAT>: {found} anywhere", f"{r.choice(['where', 'where exactly', 'in what file', 'in which note'])} {r.choice(['is', 'was', 'has been', 'can'])} <PAT> {found}".replace("has been", "was").replace("can <PAT>", "is <PAT>"), f"where's <PAT> {found}{r.choice(['', ' here', ' in my files', ' in the code', ' in the workspace'])}", f"has anyone {r.choice(['mentioned', 'used', 'written', 'named'])} <PAT> {part}", f"have I {r.choice(['mentioned', 'used', 'written', 'named', 'noted'])} <PAT> {part}"])
    if x < 0.5:
        if r.random() < 0.1:
            return f"{lead(r)}find where <PAT> {r.choice(['is', 'stands', 'occurs', 'comes up', 'appears'])}"
        has = r.choice([f"{r.choice(['say', 'hold', 'contain', 'mention', 'speak of', 'include', 'show', 'name', 'refer to', 'quote'])}{s} <PAT>", f"{'has' if s else 'have'} <PAT> {r.choice(['inside', 'somewhere', 'within', 'anywhere'] if s else ['inside', 'in them', 'somewhere', 'anywhere'])}"])
        return f"{lead(r)}{r.choice(['find', 'show', 'list', 'give me', 'search', 'locate', 'print', 'look for', 'get me', 'pick out', 'show me'])} {lines} {r.choice(['that', 'which'])} {has}"
    if x < 0.75:
        return r.choice([f"{r.choice(['who', 'which file', 'what file', 'which note', 'which document', 'what document'])} {r.choice(['mentions', 'talks about', 'speaks of', 'has', 'says', 'contains', 'uses', 'names'])} <PAT>".replace("who has", "which file has").replace("who contains", "which file contains"), f"{r.choice(['look', 'search', 'go', 'dig', 'check', 'read', 'hunt', 'comb', 'leaf'])} through {r.choice(['my files', 'all files', 'the notes', 'everything', 'the workspace', 'all I have', 'the whole folder', 'the documents'])} {r.choice(['for', 'to find', 'until you find', 'and find', 'looking for', 'and look for', 'and search for'])} <PAT>", f"{r.choice(['I am searching for', 'I seek', 'I look for', 'we are looking for', 'I try to find', 'please help me find', 'help me find', 'I would like to find'])} {r.choice(['', '', 'the word ', 'the name ', 'the text '])}<PAT>{r.choice(['', ' in my files', ' in the workspace', ' in the code', ' among my notes', ' somewhere here'])}"])
    return r.choice([f"grep <PAT>", f"grep for <PAT> {r.choice(['everywhere', 'here', 'please', 'in here', 'in all files', 'recursively'])}", f"search <PAT>", f"find <PAT> {r.choice(['everywhere', 'please', 'for me', 'in here', 'in the files'])}", f"search files for <PAT>", f"search text <PAT>", f"any <PAT> in {r.choice(['my files', 'the code', 'here', 'the workspace'])}".replace("in here", "in the files"), f"{clause(r)}. {r.choice(['Search for', 'Find', 'Look for', 'Grep for'])} <PAT>", f"<PAT>, {r.choice(['where', 'which file', 'what file', 'find it', 'search it', 'look it up in the files'])}", f"{r.choice(['occurrences', 'mentions', 'uses', 'matches', 'hits'])} of <PAT>{r.choice(['', ' please', ' in the workspace', ' here', ' in my notes', ' in all files'])}"])


def call(r, tool, arguments):
    """A request in the shape of a call: `read_file a.txt`, `shell(command="ls")`, JSON; None where an argument cannot stand so."""
    values = list(arguments.items())
    if any("\n" in v or v == "" for _, v in values):
        return None
    name = tool if r.random() < 0.75 else tool.replace("_", " ")
    mark = r.choice("\"'")
    quote = lambda v: mark + v + mark if mark not in v else "`" + v + "`"
    bare = lambda v: v if len(values) == 1 or " " not in v else quote(v)
    quoted = bare if r.random() < 0.5 else quote
    x = r.random()
    if x < 0.35:
        text = name + r.choice([" ", " ", " ", ": "]) + r.choice([" ", " ", " ", ", "] if all(quoted(v) != v for _, v in values) else [" "]).join(quoted(v) for _, v in values)
    elif x < 0.55:
        text = f"{name}({', '.join((k + r.choice(['=', '=', ': ']) if r.random() < 0.6 else '') + quote(v) for k, v in values)})"
    elif x < 0.75:
        sign = r.choice(["=", " = ", ": ", " "])
        text = name + r.choice([" ", ": ", ", ", " with ", "\n"]) + r.choice([" ", ", ", "\n", " and "] if len(values) > 1 else [" "]).join(k + sign + quoted(v) for k, v in values)
    elif x < 0.85 and not any(c in v for _, v in values for c in "\"\\"):
        text = json.dumps(r.choice([{"tool": tool, **arguments}, {"name": tool, "arguments": arguments}]), ensure_ascii=False)
    else:
        text = r.choice(["use ", "call ", "use the tool ", "please use ", "use your ", "invoke ", "run the tool ", "with "]) + name + r.choice(["", " tool"]) * (name == tool) + r.choice([" with ", " on ", " for ", ": ", ", "]) + r.choice([" and ", ", "]).join(quote(v) for _, v in values)
    return text + ("" if r.random() < 0.75 else r.choice([" please", " pls", " now", " for me", " thanks"]))
