"""The second grammar of requests, like `wordings.py`: edits, folders, searches, and what is to be remembered."""

from phrasing import typo
from wordings import DONE, FILE, KIND, KNOWN, SIGNS, asked, lead, regular, verb_of

ARROW = " \u2192 "
CHANGE = "change|replace|swap|turn|rename|correct|fix|edit|update|alter|modify|switch|substitute|convert|exchange|amend|adjust|revise|rewrite|make|set|bump|mend".split("|")
TOGETHER = {"replace": ["with", "by"], "swap": ["for", "with"], "substitute": ["with", "by"], "exchange": ["for", "with"], "switch": ["to", "with"], "turn": ["into"], "convert": ["into", "to"], "make": ["into"]}
# What a word in a file may be. It stands before the old text and is no part of it.
PART = """word|text|string|line|phrase|sentence|name|value|variable|function|constant|class|method|field|key|setting|option|parameter|heading|title|number|version|port|label|entry|column|expression|identifier|type|module|address|date|price|comment|tag
|term|flag|argument|command|item""".replace("\n", "").split("|")


def edit(r):
    verb, part, x = verb_of(r, CHANGE), r.choice(PART), r.random()
    to, file = r.choice(TOGETHER.get(verb, ["to", "to", "into"])), r.choice(["", "", "", "", "the file ", "file ", "my file ", "the " + r.choice(FILE) + " "])
    old = r.choice(["<OLD>", "<OLD>", "<OLD>", f"the {part} <OLD>", f"{part} <OLD>", "every <OLD>", f"the {part} called <OLD>"] if r.random() < 0.9 else [f"this {part}: <OLD>"])
    new = r.choice(["<NEW>", "<NEW>", "<NEW>", "<NEW>", f"the {part} <NEW>" if old == "<OLD>" else "<NEW>"])
    inside = f" {r.choice(['in', 'in', 'in', 'inside', 'within', 'of', 'throughout', 'across'])} {file}<PATH>"
    must, read = r.choice(["should", "must", "has to", "needs to", "ought to", "shall", "is supposed to"]), r.choice(["say", "read", "be", "become"])
    if x < 0.3:
        return asked(r, verb, f"{old} {to} {new}{inside}")
    if x < 0.4:
        return f"in {file}<PATH>{r.choice([', ', ': ', ' '])}{lead(r)}{verb} {old} {to} {new}"
    if x < 0.56:
        where, ask = r.choice([(f"in {file}<PATH>{r.choice([', ', ' ', ': '])}", ""), ("", inside)]), r.choice(["could", "can", "should", "may", "might", "shall", "would", "must"])
        become = r.choice(["be", "become", "be changed to", "be replaced by", "read", "be replaced with", "turn into", "be swapped for", "be called", "be renamed to"])
        return f"{where[0]}{ask} {old} {become} <NEW>{r.choice(['', '', ' instead', ' from now on', ' please', ' now', ' there'])}{where[1]}"
    if x < 0.72:
        says = r.choice(["it says", "that reads", "it reads", "there it says", "it has", "I wrote", "it contains", "it shows", "somebody wrote", "it now says", "it still says", "we have"])
        but = r.choice([", but it ", " but it ", " but ", " and ", " where it ", ", it ", "; it ", ". It ", ", which ", " - it ", ", instead it ", ", yet it "]) + must + " " + read
        head = r.choice([f"in {file}<PATH> ", f"{r.choice(['fix', 'correct', 'mend', 'repair'])} {r.choice(['the typo', 'a typo', 'the mistake', 'an error', 'a slip', 'the spelling'])} in {file}<PATH>{r.choice([': ', ', ', ' - ', '. '])}", f"<PATH>: ", f"{lead(r)}{r.choice(['edit', 'update', 'change', 'fix', 'open'])} {file}<PATH>{r.choice([': ', ', ', '; '])}"])
        return f"{head}{says} <OLD>{but} <NEW>"
    if x < 0.82:
        return f"{lead(r)}{r.choice(['update', 'change', 'edit', 'modify', 'fix', 'alter', 'adjust'])} {file}<PATH> {r.choice(['so that', 'such that', 'so', 'until', 'in such a way that'])} {old} {r.choice(['becomes', 'is', 'reads', 'turns into', 'is replaced by', 'says', 'is called', 'gets changed to', 'is now'])} <NEW>"
    if x < 0.9:
        s, gap, keys = r.choice([": ", ": ", " = ", "=", " - "]), r.choice(["\n", "\n", ", ", "; ", " / "]), r.choice([("old", "new"), ("from", "to"), ("find", "replace"), ("before", "after"), ("was", "now"), ("search", "put"), ("replace", "with")])
        return r.choice(["", "edit" + gap, "change" + gap]) + r.choice(["file", "path", "in", "edit", "document"]) + s + f"<PATH>{gap}{keys[0]}{s}<OLD>{gap}{keys[1]}{s}<NEW>"
    return r.choice([f"<PATH>: <OLD>{r.choice([' -> ', ' => ', ' to ', ' becomes ', ' >> ', ARROW])}<NEW>", f"{r.choice(['use', 'write', 'put', 'have', 'say'])} <NEW> {r.choice(['instead of', 'in place of', 'rather than', 'where there is', 'for'])} {old}{inside}", f"{r.choice(['no more', 'not', 'no longer'])} <OLD> but <NEW>{inside}", f"{old}{inside} {must} {read} <NEW>", f"there is {r.choice(['a', 'an old', 'one'])} <OLD>{inside}, {r.choice(['make it', 'it should be', 'change it to', 'turn it into', 'I want'])} <NEW>", f"the {part} <OLD>{inside} {r.choice(['is wrong', 'is old', 'is a mistake', 'is outdated'])}{r.choice(['. ', ', ', '; '])}{r.choice(['It should be', 'it is', 'make it', 'make that', 'the right one is'])} <NEW>"])


FOLDER = "folder|directory|folder|directory|dir|subfolder|subdirectory".split("|")
ENTRIES = "files|entries|contents|items|documents|files and folders|names|things|file names|content|subfolders".split("|")
LIST = "list|show|show me|display|print|enumerate|give me|name|ls|see|browse|tell me|get|explore|survey|check|inspect|look at|view|open".split("|")


def list_folder(r):
    verb, folder, entries, x = verb_of(r, LIST), r.choice(FOLDER), r.choice(ENTRIES), r.random()
    there = r.choice(["in", "inside", "within", "under", "of"]) + " " + r.choice(["", "", f"the {folder} ", f"{folder} ", f"my {folder} "]) + "<DIR>"
    it = r.choice(["it", "this", "that", "that " + folder, "the " + folder, "this " + folder, "its " + entries, "the " + entries, "what is in there", "them"])
    if x < 0.3:
        return asked(r, verb, r.choice([f"the {entries} {there}", f"all {entries} {there}", f"{entries} {there}", f"the {folder} <DIR>", f"{folder} <DIR>", f"the <DIR> {folder}", f"everything {there}", f"every file {there}", f"what is {there}".replace(" of ", " in "), f"the {entries} {there}"]))
    if x < 0.42:
        return r.choice([f"{r.choice(['directory', 'folder', 'file', 'a', 'the', 'full', 'a directory', 'a quick'])} {r.choice(['listing', 'list', 'overview'])} {r.choice(['of', 'for', 'from'])} {r.choice(['', '', 'the ' + folder + ' '])}<DIR>", f"{r.choice(ENTRIES[:6])} {there}", f"{folder}{r.choice(SIGNS)}<DIR>", f"{r.choice(['list', 'ls', 'dir', 'list ' + folder, 'list files', 'show ' + folder])}{r.choice(SIGNS[:12])}<DIR>"])
    if x < 0.6:
        return r.choice([f"<DIR>{r.choice([': ', ' - ', ', ', ' -> ', '; '])}{r.choice(['list', 'show', 'show me', 'enumerate', 'see', 'look into', 'print', 'browse'])} {r.choice(['that', 'this', 'the'])} {folder}", f"<DIR>: {r.choice(['which', 'what'])} {entries} are there", f"<DIR>{r.choice([' - ', ': ', ', '])}list the {entries} of this {folder}", f"<DIR> is a {folder}{r.choice(['. ', ', ', '; '])}{verb} {it}", f"{r.choice(['there is', 'I have', 'we have', 'take'])} a {folder} {r.choice(['called ', 'named ', ''])}<DIR>{r.choice(['. ', ', ', '; '])}{r.choice(['what is in it', 'what does it hold', 'List it', 'list its ' + entries, 'show its ' + entries, 'what do you find there', 'which ' + entries + ' are there'])}"])
    ask = r.choice([f"{r.choice(['is there', 'do we have', 'have we', 'have I got', 'do I have', 'can you see', 'do you see'])} {r.choice(['anything', 'something', 'any file', 'a file', 'any ' + entries])} {there}".replace(" of ", " in "), f"are there {r.choice(['', 'any ', 'some ', 'more '])}{entries} {there}".replace(" of ", " in "), f"{r.choice(['which', 'what', 'how many', 'what kind of'])} {entries} {r.choice(['are', 'are there', 'do I have', 'do we keep', 'can be found', 'exist', 'lie', 'did I put', 'do you find'])} {there}".replace(" of ", " in "), f"what {r.choice(['does', 'might', 'would', 'did'])} the {folder} <DIR> {r.choice(['contain', 'hold', 'have', 'look like', 'have in it', 'consist of'])}", f"{r.choice(['is', 'was'])} the {folder} <DIR> {r.choice(['empty', 'full', 'in use'])}", f"what {r.choice(['is', 'stands', 'lies', 'sits', 'is stored', 'is kept', 'is lying'])} in the {r.choice(['', ''])}{folder} <DIR>"])
    return ask + r.choice(["", "", "", f"? {r.choice(['List', 'Show', 'Show me', 'Name', 'Tell me', 'Please list', 'Give me', 'Print'])} {r.choice(['them', 'it', 'them all', 'the list', 'all', 'everything'])}"])


FIND = "find|search for|look for|grep|grep for|locate|look up|hunt for|seek|track down|scan for|spot|check for|dig up|search|discover|trace".split("|")
KNOWN.update(CHANGE, LIST, FIND)
WHERE = "my files|the files|all files|the workspace|the project|the code|the sources|my notes|this folder|the documents|our files|the repository|everything|every file|these files|the texts|the folder|my documents".split("|")
THING = "word|text|string|phrase|term|name|pattern|expression|words|function|identifier|title|line|code".split("|")


def search(r):
    verb, where, thing, sign, x = verb_of(r, FIND), r.choice(WHERE), r.choice(THING), r.choice(SIGNS), r.random()
    pattern = r.choice(["<PAT>"] * 5 + [f"the {thing} <PAT>", f"{thing} <PAT>", f"the {thing} <PAT>"])
    found = r.choice(["mentioned", "used", "written", "found", "named", "defined", "said", "listed", "spelled"])
    if x < 0.25:
        return asked(r, verb, pattern + r.choice(["", f" {r.choice(['in', 'within', 'across', 'throughout', 'inside'])} {where}"]))
    if x < 0.4:
        return r.choice([f"{r.choice(['search', 'find', 'grep', 'look up', 'search for', 'find text', 'search files', 'pattern', 'search term', 'query', 'term', 'look for', verb])}{sign}<PAT>", f"in {where}{r.choice([', ', ': ', ' '])}{verb} {pattern}", f"<PAT>{r.choice([' - ', ': ', ', ', '? '])}{r.choice(['find it', 'search for it', 'where is it', 'look for that', 'search ' + where, 'which file', 'find that in ' + where, 'where is that ' + found])}", f"{r.choice(['search', 'find'])} this {thing}{sign}<PAT>"])
    if x < 0.62:
        ask, who = r.choice(["where", "where", "in which file", "in which files", "in what place", "on which line", "where exactly", "where else", "in what document"]), r.choice(["I", "we", "they", "you", "people"])
        use = r.choice(["mention", "use", "write", "talk about", "name", "write about", "speak of", "refer to", "define", "call", "say", "have"])
        direct = r.choice([f"{ask} {r.choice(['', f'in {where} '])}{r.choice(['do', 'did', 'could'])} {who} {use} {pattern}", f"{ask} {r.choice(['', f'in {where} '])}is {pattern} {found}", f"{ask} {r.choice(['', f'in {where} '])}does {pattern} {r.choice(['appear', 'occur', 'turn up', 'stand', 'come up', 'show up', 'come in'])}"])
        said = f"{lead(r)}{r.choice(['tell me', 'say', 'show me', 'find out', 'check', 'see', 'let me know', 'look'])} {ask} {r.choice(['', f'in {where} '])}{pattern} {r.choice(['appears', 'occurs', 'turns up', 'is ' + found, 'comes up', 'stands', 'shows up', 'comes from'])}"
        return r.choice([direct, said])
    if x < 0.82:
        files = r.choice(["files", "file", "documents", "lines", "notes", "sources", "texts"])
        s = "s" if files == "file" else ""
        verb = r.choice(["contain", "mention", "use", "include", "name", "hold", "show"])
        return r.choice([f"{r.choice(['which', 'what', 'how many', 'which of my', 'which of the'])} {files} {verb}{s} {pattern}", f"{r.choice(['list', 'show', 'find', 'give me', 'tell me', 'print', 'name'])} {r.choice(['all ', 'the ', 'every ', ''])}{files} {r.choice(['that ' + verb, 'with', 'containing', 'which ' + verb, 'mentioning', 'where I wrote'])} {pattern}", f"{r.choice(['do', 'does'])} {r.choice(['any of ' + where, 'anything', 'some file', 'a file', 'any file', 'one of ' + where])} {verb} {pattern}"])
    return r.choice([f"is {pattern} {r.choice(['anywhere', 'somewhere', found, found + ' anywhere', found + ' somewhere'])} in {where}", f"{r.choice(['have we', 'do we have', 'is there', 'did I write', 'do I have', 'are there'])} {r.choice(['a ', 'any ', 'one ', ''])}{r.choice(['mention', 'trace', 'line', 'use', 'occurrence', 'mentions', 'note'])} of {pattern} in {where}", f"I {r.choice(['lost', 'need', 'forgot where I wrote', 'am looking for', 'cannot find', 'must find', 'wrote', 'want', 'want to find', 'once wrote'])} {pattern}{r.choice([', ', '. ', '; ', ' - '])}{r.choice(['search', 'look through', 'go through', 'grep', 'scan', 'check', 'search through'])} {where}", f"{lead(r)}{r.choice(['search', 'scan', 'grep', 'comb', 'go through', 'look through', 'check', 'examine', 'browse', 'query'])} {where} for {pattern}", f"{r.choice(['any', 'every', 'all', 'each'])} {r.choice(['mention', 'line', 'place', 'spot', 'occurrence'])} {r.choice(['with', 'of'])} {pattern} in {where}"])


KEEP = "remember|note|memorise|memorize|keep in mind|store|save|record|retain|bear in mind|hold on to|learn|keep|know|file away|write down in your memory|log".split("|")
FACT = "fact|thing|note|information|info|detail|message|piece of information|bit|item|data|line|sentence".split("|")
_LEARNT = {"keep in mind": "kept in mind", "bear in mind": "borne in mind", "hold on to": "held on to", "keep": "kept", "know": "known", "write down in your memory": "written down in your memory"}


def keep(r):
    """A request to remember `<F>`."""
    verb, fact, sign, x = r.choice(KEEP), r.choice(FACT), r.choice([": ", ": ", " - ", " = ", "\n", " -> ", ", ", ":\n", " \u2014 ", "; "]), r.random()
    verb = "remember" if r.random() < 0.5 else verb
    plain = verb in ("store", "save", "record", "retain", "learn", "keep", "log", "file away")  # of files as well: needs the word memory, or fact
    shown = typo(r, verb) if r.random() < 0.12 else verb
    memory = r.choice(["memory", "your memory", "your notes", "your head", "long-term memory", "mind"])
    if plain:
        return f"{lead(r)}{shown} {r.choice([f'this {fact}', f'the {fact}', f'the following {fact}', f'in {memory}', f'to {memory}', f'this in {memory}', f'in {memory} that', 'as a fact', 'as a memory'])}".removesuffix(" that") + (r.choice([" that ", sign]) if r.random() < 0.3 else sign) + "<F>"
    if x < 0.35:
        return f"{lead(r)}{shown} {r.choice(['', 'that ', 'that ', 'for me that ', 'for later that ', 'forever that ', 'always that ', 'for next time that '])}<F>"
    if x < 0.65:
        return f"{lead(r)}{shown} {r.choice([f'this {fact}', f'the following {fact}', 'this', 'the following', f'this {fact} for me', 'this for later', f'one {fact}', f'a {fact}', 'this please', 'that', f'this new {fact}', 'for me', 'for later'])}{sign}<F>"
    if x < 0.8:
        done = _LEARNT.get(verb, regular(verb, DONE))
        return f"{r.choice(['let it be ', 'it should be ', 'it must be ', 'I want it ', 'it has to be ', 'may it be ', 'I need it ', 'to be ', 'it is to be ', 'let that be '])}{done} that <F>"
    if x < 0.9:
        return f"{r.choice(['would be', 'it would be', 'it is', 'it might be'])} {r.choice(KIND)} {r.choice(['if you ' + {'keep in mind': 'kept in mind', 'bear in mind': 'bore in mind', 'know': 'knew', 'hold on to': 'held on to'}.get(verb, 'remembered'), 'to remember', 'to keep in mind', 'for you to know', 'for you to remember'])} that <F>"
    return r.choice([f"{fact} to remember{sign}<F>", f"{r.choice(['new', 'important', 'another', 'one more', 'little'])} {fact} {r.choice(['for your memory', 'to remember', 'to keep in mind', 'for you to remember', 'for later'])}{sign}<F>", f"for {memory}{sign}<F>", f"to remember{sign}<F>", f"here is {r.choice(['a', 'one'])} {fact}{r.choice([' for your memory', ' to remember', ', remember it', ' you must not forget', ', keep it in mind'])}{sign}<F>", f"{r.choice(['never', 'do not', 'please do not', 'dont', 'you must not', 'try not to', 'you should never'])} forget {r.choice(['', 'that ', 'this: ', f'this {fact}{sign}', 'the following: '])}<F>"])
