"""Prompts for the evaluation, written by hand without the training grammar: other sentences, other words, other commands.

Nothing here may be copied into the training code, and nothing is taken from it. Commands are harmless, because the
evaluation with the real executable runs them.
"""

import string

SHAPES = {
    "shell": [
        "Mind giving {c} a whirl on my system?", "I'd be grateful for a run of {c}", "{c} <-- could you run that one for me", "My colleague says {c} is useful. Run it.", "Before anything else, execute {c}", "What would I see after typing {c}?",
        "Run {c} and paste whatever it prints.", "be a dear and execute {c}", "Would {c} work here? Try it and see.", "Whatever {c} spits out is what I'm after", "Curious: what's printed by {c}?", "Time for {c}", "Display what comes back from {c}", "shell> {c}",
        "kick {c} off, will you?", "Under bash, please run {c}", "{c}, go!", "Do you mind running {c} quickly?", "hit the terminal with {c}", "I was told to run {c}", "Please have {c} executed", "Just {c} it is - run it", "Go run {c} real quick", "Fetch me the output that {c} produces",
        "Would you kindly try running {c}", "The shell should execute {c}", "Let's execute {c} together", "can u run {c}", "one command please: {c}", "Hey Paguro! Run {c}", "run this one => {c}", "Invoke {c} via the command line", "Test out {c} in my terminal", "Go on, do {c}", "Can the machine run {c}?", "I think we should run {c} next.",
        "May I bother you to run {c}?", "For debugging, run {c}", "let the shell do {c} now", "What is displayed when one runs {c}", "Type out {c} in a terminal for me and press enter",
    ],
    "read_file": [
        "Would you show me the text stored in {p}?", "Could I take a peek at {p}?", "Print out everything that {p} has in it", "I'd love to know what {p} has to say", "Let me in on the contents of {p}", "Spill the contents of {p}", "Has {p} got anything interesting? Show it.", "Walk me through {p}", "Bring {p} up for me", "Grab {p} and show it to me",
        "whats in {p}", "Mind displaying {p}?", "Have {p} printed, please", "Just cat {p} for me", "pls show {p}", "Get {p} onto the screen", "I must see {p} right now!", "The contents of {p}, if you'd be so kind", "May I know what {p} says?", "Read me {p} from top to bottom", "Could you open up {p} and read it?", "What information does {p} give?",
        "Show what you find in {p}", "what did they write in {p}", "Read through {p} and show me", "View {p}, thanks a bunch", "See {p} please", "can u open {p}",
    ],
    "write_file": [
        "Could you write {t} down in {p}?", "Would you mind saving {t} as {p}?", "I want the words {t} to end up in {p}", "Please produce a file named {p} whose only line is {t}", "Whip up a file {p} that holds {t}", "Stash {t} inside {p}", "Let {t} be written to {p}", "The file {p} ought to contain {t}", "generate {p} with {t} inside", "Give me a new file, {p}, that says {t}",
        "My new file {p} needs the text {t}", "Have {p} contain {t}", "Start a file called {p} with the line {t}", "Can you make {p} and put {t} in there", "Scribble {t} into {p}", "I'd like to save {t} to {p}", "write out {t} to {p} pls", "Make me a {p} file that reads {t}", "Get {t} saved in {p}", "Keep {t} for me in a file called {p}",
        "Create {p}; inside it goes {t}", "Author a file at {p} with this in it: {t}", "echo-like: place {t} into the file {p}", "Write {p}. Its content: {t}", "Add a file {p} to the workspace containing {t}", "Put down {t} in {p}, please", "New document {p}: {t}", "I need you to create {p} for me with the text {t}",
    ],
    "write_data": ["Please keep this in {p}", "Could you store what I piped in as {p}?", "Make {p} out of this, please", "Everything above goes into {p}", "save it all under the name {p}", "Dump what you got into {p}", "Would you write this down in {p} for me?", "stick this text into {p} thanks", "I'd like this kept in {p}", "Save this to {p}", "this -> {p}", "Write it to {p}, please", "put that data in {p}"],
    "edit_file": [
        "Could you swap {o} for {n} in {p}?", "In {p}, I'd like {o} to read {n}", "Please go into {p} and turn {o} into {n}", "Wherever {p} has {o}, let it be {n}", "Open up {p}, find {o}, and make it {n}", "There's a mistake in {p}: {o} must be {n}", "Would you mind changing {o} into {n} in {p}?", "Update {p} so it says {n} rather than {o}", "{o} needs to become {n} in {p}", "Amend {p}: {o} becomes {n}",
        "have {o} replaced with {n} inside {p}", "Edit {p}. Replace {o} with {n}.", "Let's rename {o} to {n} in {p}", "exchange {o} with {n} in file {p}", "I made a typo in {p}, {o} should've been {n}", "Within {p} please replace {o} by {n}",
    ],
    "list_dir": ["Which things are stored inside the directory {d}?", "Could you enumerate what's in folder {d}?", "I'd like an overview of the files in {d}", "Have a look inside the folder {d} for me", "What lives in the directory {d}?", "Show the folder {d}, please", "Mind listing the directory {d}?", "what does directory {d} have", "files in {d}?", "Take me through the folder {d}", "name everything in the directory {d}", "Which files sit in {d}?", "run through the files of folder {d}"],
    "list_here": ["What files have we got?", "Would you list everything in this place?", "Show me all files around", "Which files can you find here?", "Let me see what's in the workspace", "Give me an overview of the current folder", "What's lying around in this directory?", "please list whatever is in here", "List the workspace"],
    "search_files": [
        "Could you hunt through my files for {s}?", "I remember writing {s} somewhere, where?", "Does {s} occur in any of my files?", "Which of my files talks about {s}?", "Point me to the places where {s} turns up", "Scan everything for {s}", "Where on earth is {s} in my files?", "Would you search the project for {s}?", "Help me find {s} in the sources", "look through all documents for {s}", "Find every line that has {s} in it",
        "grep the workspace for {s} please", "see whether {s} appears in the files", "Have we got {s} in any file?", "find me {s}", "where's {s} used?", "In what files does {s} turn up?", "Try searching for {s}", "I can't find {s}, search for it",
    ],
    "remember": ["Please hold on to the fact that {f}", "I'd like you to know that {f}", "Make sure you remember that {f}", "For your information, {f}. Remember it!", "{f} - please keep that in your memory", "Would you please remember {f}?", "{f}. You should remember that.", "Could you make a note that {f}?", "do remember {f}", "Try not to forget that {f}", "Remember the following: {f}", "keep this in your head: {f}", "From now on remember that {f}", "hey, remember {f}", "save this for later: {f}", "Note for you: {f}", "You need to remember this: {f}"],
    "recall": ["Do you happen to know {q}?", "Could you tell me once more what {q} is?", "Any idea what {q} is?", "Would you remind me what {q} is?", "What did I tell you {q} was?", "so what is {q} then", "I no longer know what {q} is", "Please look up {q}", "What have you got on {q}?", "Hey, what's {q}?", "what is {q}, do you remember?", "Have I mentioned {q}?", "Jog my memory: what is {q}?", "What do your notes say about {q}?", "tell me what {q} was again"],
}
TALK = [("Hello there, Paguro!", "hello"), ("Good afternoon!", "hello"), ("hey you", "hello"), ("Who exactly are you?", "self"), ("What kind of thing are you?", "self"), ("So what can you actually do?", "able"), ("What tools have you got?", "able"), ("Thanks so much!", "welcome"), ("Thank you, that was useful", "welcome"), ("Bye for now", "bye"),
        ("What is the tallest building in the world?", "unknown"), ("Who painted the Night Watch?", "unknown"), ("Compose a short poem about autumn", "unknown"), ("How much is 84 times 19?", "unknown"), ("Translate good morning into Dutch", "unknown"), ("What's the capital of Peru?", "unknown"), ("Why do leaves turn red?", "unknown"), ("Explain black holes to me", "unknown")]
WORDS = """abacus acorn almond anchor antler apron arcade armour arrow aspen axle bagel balcony bamboo banjo barley basil beacon beaver bellows birch biscuit blizzard bonfire bronze buffalo cabin cactus canyon caramel caravan cedar cello cider cinnamon clarinet clover cobalt comet compass copper coral cosmos cotton crater
crystal cypress daffodil dagger dahlia dolphin dragon drizzle dune easel eclipse ember falcon feather fennel ferry fiddle fjord flannel flint fossil gadget galaxy gazelle geyser ginger glacier granite gravel hamlet hazel helmet heron hickory igloo indigo ivory jasmine jigsaw jungle kayak kettle lagoon lantern lavender
lichen lilac lobster magnet mango maple marble meadow meteor mosaic moss nectar nimbus nugget oasis obsidian onyx orchid otter oyster paprika parsley pebble pelican pepperoni piano pistachio plum prairie puffin quartz quill raccoon radish raven reef rhubarb saffron sapphire scarlet sequoia sorrel tangerine thistle tundra velvet walnut willow zephyr""".split()
PEOPLE = "Agnes Bruno Cecilia Dmitri Elspeth Fergus Gwen Harold Ingrid Jasper Keiko Leopold Mireille Norbert Ottilie Percy Ramona Sigrid Tobias Ursula Viola Wanda Yannick Zelda".split()
COMMANDS = ["uname -a", "date", "whoami", "pwd", "ls -la", "df -h", "free -m", "uptime", "id -un", "echo {w}", "echo {w} {w}", "echo \"{w} {w} {w}\"", "echo '{w}: {n}'", "echo {w} {W} {w} {W} {w}", "printf '%s\\n' {w} {W} {w}", "printf \"{w}\\n{W}\\n\"", "seq {d}", "seq {d} {d}{d}", "seq 3 | tail -n 1", "expr {n} + {n}", "expr {n} - {d}", "echo $(({n} * {d}))", "echo {w} | tr a-z A-Z", "echo {w}-{w} | rev", "echo {w} | wc -c",
            "ls /usr | head -n {d}", "ls -1 /etc | wc -l", "basename /opt/{w}/{w}.{x}", "dirname /srv/{w}/{w}.{x}", "date +%Y", "date -u +%H:%M", "test -e {w}.{x} || echo {w}", "true && echo {w}", "false; echo {w}", "echo {w} > {w}.{x}", "cat {w}.{x}", "head -n {d} {w}.{x}", "sort {w}.{x} | uniq -c", "grep -rn {w} .", "find . -name '*.{x}'", "find . -type f -name \"{w}*\"", "wc -l {w}/{w}.{x}", "stat {w}.{x}", "git status --short",
            "git log --oneline -n {d}", "du -sh .", "env | grep {W}", "echo $HOME", "echo ${{{W}:-{w}}}", "for i in {w} {W}; do echo $i; done", "python3 -c 'print({n} + {n})'", "awk 'BEGIN {{ print {n} / {d} }}'", "sed -n {d}p {w}.{x}", "nproc", "hostname", "mkdir -p {w}/{W}", "touch {w}_{w}.{x}", "cut -d: -f1 /etc/passwd | head -{d}", "echo {w}; echo {w}", "md5sum {w}.{x}", "which {w}", "{w} --version", "{w} --{w}={n} {w}.{x}", "./{w}.sh {w} {n}",
            "ls *.{x} 2>/dev/null", "echo \"a b\" 'c d' {w}", "tail -n {n} {w}.log", "sleep 0 && echo {w}{n}", "yes {w} | head -n {d}", "cal", "echo {w},{w};{w}"]
EXTENSIONS = "txt md py rs json csv log toml yaml html ini sh c".split()


def word(r):
    x = r.random()
    if x < 0.55:
        return r.choice(WORDS)
    if x < 0.8:
        return "".join(r.choice("bcdfghjklmnprstvwz") + r.choice("aeiou") for _ in range(r.randint(1, 4)))
    return "".join(r.choices(string.ascii_lowercase + string.digits, k=r.randint(3, 9)))


def command(r):
    same = word(r)
    out = r.choice(COMMANDS)
    for key, make in (("{W}", lambda: same.upper() if "env" in out or "$" in out else same), ("{w}", lambda: word(r)), ("{n}", lambda: str(r.randint(10, 9999))), ("{d}", lambda: str(r.randint(2, 9))), ("{x}", lambda: r.choice(EXTENSIONS))):
        while key in out:
            out = out.replace(key, make(), 1)
    return out.replace("{{", "{").replace("}}", "}")


def path(r):
    name = r.choice([word(r), word(r) + "_" + word(r), word(r) + "-" + str(r.randint(1, 99)), word(r).capitalize()])
    return "/".join([word(r) for _ in range(r.choice([0, 0, 0, 1, 1, 2]))] + [name + "." + r.choice(EXTENSIONS)])


def text(r):
    words = [word(r) for _ in range(r.randint(1, 7))]
    x = r.random()
    if x < 0.2:
        words = [r.choice(words[:2]) for _ in range(len(words) + 2)]
    if x < 0.75:
        return " ".join(words)
    return r.choice([words[0] + ": " + " ".join(words), words[0] + " = " + str(r.randint(1, 999)), ", ".join(words), "- " + " ".join(words), str(r.randint(1, 500)) + " " + " ".join(words), " ".join(words).capitalize()])


def fact(r):
    """A fact and the noun phrase one would ask about."""
    thing = r.choice([word(r), word(r) + " " + word(r), r.choice("bike car cat dog garden laptop dentist locker passport sister flight guitar kayak".split())])
    owner = r.choice(["my ", "my ", "my ", "the ", r.choice(PEOPLE) + "'s "])
    says = r.choice([word(r), word(r) + " " + word(r), r.choice(PEOPLE), str(r.randint(3, 9999)), "in " + r.choice(PEOPLE) + "'s " + word(r), "the " + word(r) + " one", word(r).upper() + str(r.randint(1, 99))])
    return f"{owner}{thing} {r.choice(['is', 'is', 'is', 'was'])} {says}", owner + thing


def quoted(r, value, chance):
    if r.random() >= chance:
        return value
    for mark in r.sample("\"'`", 3):
        if mark not in value:
            return mark + value + mark
    return value


def prompt(r):
    """One prompt: dict of tool, message, data, arguments, and what must be prepared: `fact` or `talk`."""
    kind = r.choices(list(SHAPES) + ["talk"], [28, 12, 15, 6, 8, 6, 3, 8, 8, 8, 6])[0]
    if kind == "talk":
        message, answer = r.choice(TALK)
        return {"tool": None, "message": message, "data": None, "arguments": None, "talk": answer}
    shape, tool, data, known = r.choice(SHAPES[kind]), {"write_data": "write_file", "list_here": "list_dir"}.get(kind, kind), None, None
    p, t, c, f = path(r), text(r), command(r), fact(r)
    if kind == "shell":
        arguments, shown = {"command": c}, {"c": quoted(r, c, 0.5)}
    elif kind == "read_file":
        arguments, shown = {"path": p}, {"p": quoted(r, p, 0.3)}
    elif kind == "write_file":
        arguments, shown = {"path": p, "content": t}, {"p": quoted(r, p, 0.25), "t": quoted(r, t, 0.7 if t.replace(" ", "").isalnum() else 1.0)}
    elif kind == "write_data":
        data = "\n".join(text(r) for _ in range(r.randint(1, 8)))
        arguments, shown = {"path": p, "content": data}, {"p": quoted(r, p, 0.2)}
    elif kind == "edit_file":
        old, new = word(r) + r.choice(["", "", " " + word(r)]), word(r) + r.choice(["", "", " " + word(r)])
        chance = 1.0 if " " in old + new or r.random() < 0.5 else 0.0
        arguments, shown = {"path": p, "old": old, "new": new}, {"p": quoted(r, p, 0.2), "o": quoted(r, old, chance), "n": quoted(r, new, chance)}
    elif kind == "list_dir":
        d = "/".join(word(r) for _ in range(r.randint(1, 3))) + r.choice(["", "", "/"])
        arguments, shown = {"path": d}, {"d": quoted(r, d, 0.2)}
    elif kind == "list_here":
        arguments, shown = {"path": "."}, {}
    elif kind == "search_files":
        s = r.choice([word(r), word(r), word(r).upper(), word(r) + "_" + word(r), word(r) + " " + word(r)])
        arguments, shown = {"pattern": s}, {"s": quoted(r, s, 1.0 if " " in s else 0.4)}
    elif kind == "remember":
        arguments, shown = {"text": f[0]}, {"f": f[0]}
    else:
        arguments, shown, known = {"query": f[1]}, {"q": f[1]}, f[0]
    message = shape
    for key, value in shown.items():
        message = message.replace("{" + key + "}", value)
    if kind == "remember" and message.startswith(f[0]) and r.random() < 0.5:
        message = message[0].upper() + message[1:]
        arguments = {"text": f[0][0].upper() + f[0][1:]}
    return {"tool": tool, "message": message, "data": data, "arguments": arguments, "fact": known}
