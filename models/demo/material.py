"""Random material that the demo model must learn to copy: words, names, paths, commands, texts, tool output.

Most of it means nothing on purpose. A model of this size that sees the same words again and again learns the words;
one that sees other words every time has to learn to copy.
"""

import json
import pathlib
import re
import string

WORDS = pathlib.Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
# Words as people write them, thousands of them (the list of Debian's package `wamerican`), so that none is learned by heart.
_LIST = pathlib.Path("/usr/share/dict/words")
_FOUL = re.compile("nigg|fag|shit|fuck|cunt|whore|slut|spic|kike|wetback|darki|jap|chink|bitch|twat|raghead|honk|rape|rapi|negr|gook|coon|pimp|dyke")
MANY = [w for w in _LIST.read_text(encoding="utf-8").split() if w.isascii() and w.isalpha() and w.islower() and 2 < len(w) < 11 and not _FOUL.search(w)] if _LIST.exists() else WORDS
VERBS = pathlib.Path(__file__).with_name("verbs.txt").read_text(encoding="utf-8").split()  # rare in what is copied: they say what to do
NAMES = """Anna Ben Carla David Emma Felix Greta Hugo Ida Jonas Karin Leo Maria Nina Oscar Paula Quentin Rosa Sven Tina
Uwe Vera Will Xenia Yusuf Zoe Priya Chen Aisha Omar Sofia Ivan Olga Pedro Lucia Marco Giulia Hiro Yuki Sam Alex Rex
Bella Max Luna Charlie Berlin Paris London Oslo Madrid Rome Vienna Lisbon Dublin Tokyo Boston Denver Hamburg""".split()
EXTENSIONS = """txt md py rs c h cpp js ts json toml yaml yml csv log html css sh sql xml ini cfg conf tex go java rb
lock bak tmp dat pdf png env diff""".split()
BARE_FILES = "README LICENSE Makefile Dockerfile TODO NOTES CHANGELOG Cargo.toml .gitignore .env .bashrc".split()
# Names that people really use, so that none of them is taken for another.
COMMON_FILES = """notes.txt notes.md todo.txt todo.md list.txt shopping.txt shopping-list.txt ideas.md report.md report.txt test.txt hello.txt
greeting.txt log.txt diary.md journal.md plan.md plans.txt draft.txt letter.txt recipe.txt recipes.md budget.csv data.csv data.json config.toml config.json
config.yaml settings.json package.json index.html style.css main.py main.rs app.py app.js script.sh run.sh build.sh setup.py server.log error.log src/main.rs
src/lib.rs src/app.py docs/intro.md docs/index.md docs/guide.md notes/today.md logs/app.log tests/test.py key.pem id.txt names.txt output.txt input.txt
readme.md README.md CHANGELOG.md poem.txt story.txt song.txt quote.txt contacts.csv birthdays.txt passwords.txt expenses.csv meeting.md minutes.md agenda.txt""".split()
PROGRAMS = """ls pwd date whoami uname echo cat head tail wc grep find sort uniq cut tr sed awk du df free ps top uptime
hostname id env which file stat touch mkdir rmdir rm cp mv ln chmod chown tar gzip zip unzip curl wget ping git cargo
rustc make cmake gcc python python3 node npm pip go java docker kubectl ssh scp rsync diff patch tree less seq sleep
printf test true false expr bc cal history alias export kill jobs lsof ip ifconfig netstat nslookup dig mount lsblk
systemctl journalctl crontab xargs tee basename dirname realpath md5sum sha256sum base64 xxd od strings nproc lscpu
arch tty time yes jq rg fd bat htop vim nano gdb strace ldd nm objdump perl ruby php sqlite3 psql mysql ffmpeg""".split()
# Words of requests that are also names of files: neither is to be taken for the other.
PLAIN_WORDS = "in out to into file read write save note list the show with open run print folder find invite put text copy edit change make new old all this from for and here log data test".split()
# The tokenizer's pieces: those that stand for a cue in a request must be copied as willingly as any other.
PIECES = [a + b for a, b in json.loads(pathlib.Path(__file__).with_name("merges.json").read_text(encoding="utf-8"))]
_CUES = [p.strip(" ,") for p in PIECES if p[0] in " ," and len(p.strip(" ,")) > 1]
_CONSONANTS = ("b c d f g h j k l m n p q r s t v w x z " * 3 + "br ch cl cr dr fl gr kl pl pr sh sk sl sp st th tr").split()
_VOWELS = ("a e i o u " * 4 + "ai ea oo ou y").split()
_CODAS = [""] * 8 + ["n", "r", "s", "t", "l", "m", "k", "nd", "rt", "x", "p", "ck"]


def syllables(r, low=1, high=3):
    return "".join(r.choice(_CONSONANTS) + r.choice(_VOWELS) + r.choice(_CODAS) for _ in range(r.randint(low, high)))


def letters(r, low=2, high=8):
    return "".join(r.choices(string.ascii_lowercase, k=r.randint(low, high)))


def mixed(r, low=2, high=10):
    pool = r.choice([string.ascii_lowercase + string.digits, string.ascii_letters + string.digits, string.digits,
                     string.ascii_uppercase + string.digits, "0123456789abcdef"])
    return "".join(r.choices(pool, k=r.randint(low, high)))


def soup(r, low=2, high=5):
    """Pieces of the tokenizer in a row: whatever it cuts words and signs into comes up in what is copied."""
    return "".join(r.choice(PIECES) for _ in range(r.randint(low, high))).strip(" ,.?!:;\"'`<>\n") or word(r)


def code(r):
    """What looks like no word: addresses, hashes, versions, camel case, amounts, dates."""
    n = r.randint
    return r.choice([
        lambda: f"{word(r)}@{word(r)}.{r.choice(['com', 'org', 'net', 'io'])}", lambda: f"{word(r)}.{word(r)}{n(1, 99)}@{word(r)}.co.uk", lambda: "".join(r.choices("0123456789abcdef", k=r.choice([7, 8, 12, 32, 40]))), lambda: "-".join("".join(r.choices("0123456789abcdef", k=k)) for k in r.choice([(8, 4, 4, 4, 12), (4, 4), (3, 3, 3)])),
        lambda: f"v{n(0, 9)}.{n(0, 30)}.{n(0, 30)}{r.choice(['', '-rc1', '-beta', '+' + letters(r, 2, 4)])}", lambda: word(r) + "".join(word(r).capitalize() for _ in range(n(1, 3))), lambda: "".join(word(r).capitalize() for _ in range(n(2, 3))), lambda: "_".join(word(r).upper() for _ in range(n(2, 3))), lambda: "_".join(word(r) for _ in range(n(2, 3))),
        lambda: f"{n(0, 255)}.{n(0, 255)}.{n(0, 255)}.{n(0, 255)}{r.choice(['', ':' + str(n(80, 9999)), '/' + str(n(8, 32))])}", lambda: f"20{n(10, 39)}-{n(1, 12):02}-{n(1, 28):02}", lambda: f"{n(1, 31)}/{n(1, 12)}/{n(1990, 2039)}", lambda: f"{n(0, 23):02}:{n(0, 59):02}:{n(0, 59):02}", lambda: f"{r.choice('$#@%')}{r.choice([number(r), word(r)])}", lambda: f"{n(1, 20)}-{n(0, 20)}-{n(0, 20)}",
        lambda: f"{number(r)}{r.choice(['km', 'kg', 'GB', 'ms', 'px', '%', 'EUR', 'x', 'h', 'am', 'pm', 'st', 'nd', 'th'])}", lambda: f"{letters(r, 1, 3).upper()}-{n(1, 9999)}", lambda: f"{letters(r, 1, 3).upper()}{n(1, 999)}{letters(r, 0, 2).upper()}", lambda: url(r), lambda: f"{word(r)}/{word(r)}#{n(1, 999)}", lambda: f"0x{n(0, 65535):x}", lambda: "".join(r.choices(string.ascii_letters + string.digits + "+/", k=n(8, 30))) + r.choice(["", "=", "=="]),
        lambda: "".join(r.choices(string.ascii_letters + string.digits + "!#%*?@_-", k=n(6, 14))), lambda: f"+{n(1, 99)}-{n(100, 999)}-{n(1000, 9999)}", lambda: f"{word(r)}+{word(r)}", lambda: f"{word(r)}'s", lambda: f"{word(r)}/{word(r)}", lambda: f"{word(r)}:{n(1, 99)}"])()


def foreign(r):
    """A word in another script, or a sign of several bytes."""
    first, last = r.choice([(0x430, 0x44F), (0x3B1, 0x3C9), (0xE0, 0xFF), (0x100, 0x17F), (0x4E00, 0x4E80), (0x3041, 0x3090), (0x1F600, 0x1F640)])
    return "".join(chr(r.randint(first, last)) for _ in range(r.choice([1, 2, 3, 4, 6]) if first != 0x1F600 else 1))


def word(r):
    x = r.random()
    if x < 0.004:
        return accented(r)
    if x > 0.97:
        return r.choice(_CUES)
    if x < 0.015:
        return r.choice(VERBS)
    if x < 0.25:
        return r.choice(WORDS)
    if x < 0.72:
        return r.choice(MANY)
    if x < 0.93:
        return syllables(r)
    return letters(r)


def name(r):
    return r.choice(NAMES) if r.random() < 0.4 else syllables(r, 1, 3).capitalize()


def number(r):
    x = r.random()
    if x < 0.6:
        return str(r.randint(0, 10 ** r.randint(1, 5)))
    if x < 0.75:
        return f"{r.uniform(0, 1000):.{r.randint(1, 2)}f}"
    return r.choice([f"{r.randint(0, 23)}:{r.randint(0, 59):02}", f"{r.randint(1, 100)}%", f"-{r.randint(1, 50)}",
                     f"{r.randint(1900, 2050)}", f"{r.randint(1, 31)}.{r.randint(1, 12)}.{r.randint(1950, 2030)}"])


def term(r):
    """One word without spaces: an identifier, a code, a plain word."""
    x = r.random()
    if r.random() < 0.12:
        return soup(r) if x < 0.25 else foreign(r) if x < 0.3 else accented(r) if x < 0.4 else code(r)
    if x < 0.5:
        return word(r)
    if x < 0.6:
        return mixed(r)
    if x < 0.68:
        return word(r) + "_" + word(r)
    if x < 0.75:
        return word(r) + "-" + word(r)
    if x < 0.82:
        return word(r) + word(r).capitalize()
    if x < 0.88:
        return word(r).upper()
    if x < 0.94:
        return name(r)
    return r.choice([word(r) + "(" + number(r) + ")", word(r) + "=" + number(r), word(r) + number(r), word(r) + "()", word(r) + "." + word(r), "#" + word(r), word(r) + "::" + word(r)])


def stem(r):
    if r.random() < 0.035:
        return r.choice("aaaabcdefgxyz" + string.ascii_lowercase)  # `a.txt` is no article
    x = r.random()
    if x < 0.66:
        return word(r)
    if x < 0.8:
        return word(r) + r.choice("_-") + word(r)
    if x < 0.9:
        return word(r) + r.choice(["", "", "-", "_"]) + str(r.randint(0, 99))
    return r.choice([r.choice(PLAIN_WORDS) + r.choice(["", "s", "-" + word(r), "_" + word(r)]), letters(r, 1, 3) + "-" + str(r.randint(1, 99)), mixed(r, 2, 6), word(r).upper(), word(r).capitalize(), word(r) + "." + word(r)])


def accented(r):
    """A word with letters that take two or three bytes; the same letter may come back with another accent."""
    letters = {"a": "\u00e4\u00e1\u00e0\u00e5\u00e2\u0105", "o": "\u00f6\u00f3\u00f8\u00f4", "u": "\u00fc\u00fa\u016f", "e": "\u00e9\u00e8\u00ea\u0119\u011b", "i": "\u00ed\u00ef", "n": "\u00f1\u0144", "c": "\u00e7\u010d\u0107", "s": "\u015b\u0161\u00df", "z": "\u017e\u017c"}
    text = "".join(r.choice(letters[c]) if c in letters and r.random() < 0.4 else c for c in word(r))
    return text.capitalize() if r.random() < 0.3 else text


def natural(r):
    """Content words between the small words of real sentences, with a number or a name now and then, also at the end."""
    thing = lambda: r.choice(["the ", "the ", "a ", "my ", "your ", "our ", ""]) + r.choice([word, word, word, name])(r)
    text = thing() + " " + r.choice(["is", "is", "was", "are", "will be", "has", "needs", "starts", word(r), word(r) + "s", "must be", "has been " + word(r)]) + " "
    text += " ".join(r.choice(["on", "at", "in", "with", "by", "for", "from", "of", "to", "and", "not", "near", "under"]) + " " + r.choice([thing, thing, lambda: number(r), lambda: word(r) + " " + number(r), lambda: number(r) + " " + word(r), lambda: name(r)])() for _ in range(r.choice([1, 1, 2, 3])))
    return (text[0].upper() + text[1:] if r.random() < 0.3 else text) + r.choice([""] * 6 + [".", "!"])


def extension(r):
    return r.choice(EXTENSIONS) if r.random() < 0.85 else letters(r, 2, 3)


def folder(r):
    parts = [stem(r).replace(".", "") for _ in range(r.choice([1, 1, 1, 2, 2, 3, 4]))]
    lead = r.choice([""] * 14 + ["./", "../", "/", "~/", "."])
    return lead + "/".join(parts) + r.choice(["", "", "", "/"])


def any_folder(r):
    """A folder with a dot or a space in its name now and then: only where the request says that it is one."""
    x = r.random()
    if x < 0.07:
        return phrase(r, 2, 3) if r.random() < 0.7 else word(r) + "/" + word(r) + " " + word(r)
    return r.choice([word(r) + ".d", "v" + str(r.randint(0, 9)) + "." + str(r.randint(0, 20)), "." + word(r), word(r) + "." + word(r), word(r) + "/v" + number(r)]) if x < 0.14 else folder(r)


def any_path(r):
    """A path with a space in it now and then: it stands within quotes."""
    return r.choice(["", "", word(r) + "/", word(r) + " " + word(r) + "/"]) + word(r) + " " + word(r) + "." + extension(r) if r.random() < 0.08 else path(r)


def path(r):
    if r.random() < 0.15:
        return r.choice(BARE_FILES) if r.random() < 0.2 else r.choice(COMMON_FILES)
    lead = r.choice([""] * 16 + ["./", "../", "/", "~/", "/tmp/", "/etc/"])
    parts = [stem(r).replace(".", "") for _ in range(r.choice([0, 0, 0, 0, 0, 1, 1, 2, 3]))]
    return lead + "/".join(parts + [stem(r) + "." + extension(r)])


def url(r):
    return r.choice(["http", "https"]) + "://" + word(r) + "." + r.choice(["com", "org", "net", "io", "de", "dev"]) + r.choice(
        ["", "/" + word(r), "/" + word(r) + "/" + word(r) + "?" + letters(r, 1, 3) + "=" + number(r), ":8080/" + word(r)])


def quoted(r, text):
    mark = r.choice("\"'")
    return text if mark in text else mark + text + mark


def flag(r):
    x = r.random()
    if x < 0.55:
        return "-" + "".join(r.choices(string.ascii_letters, k=r.choice([1, 1, 1, 2, 2, 3])))
    if x < 0.8:
        return "--" + word(r) + r.choice(["", "-" + word(r)])
    return "--" + word(r) + "=" + r.choice([word(r), number(r), path(r)])


def phrase(r, low=1, high=6):
    return " ".join(term(r) if r.random() < 0.25 else word(r) for _ in range(r.randint(low, high)))


def argument(r):
    x = r.random()
    if x < 0.3:
        return flag(r)
    if x < 0.48:
        return path(r)
    if x < 0.6:
        return term(r)
    if x < 0.72:
        return quoted(r, phrase(r, 1, 5))
    if x < 0.79:
        return number(r)
    if x < 0.85:
        return r.choice(["*", "*." + extension(r), word(r) + "*", "**/*." + extension(r), "?" + word(r), "[a-z]*"])
    if x < 0.9:
        return "$" + r.choice([word(r).upper(), "HOME", "PATH", "USER", "{" + word(r).upper() + "}", "(" + r.choice(PROGRAMS) + ")"])
    if x < 0.94:
        return url(r)
    return r.choice([word(r) + "=" + term(r), folder(r), ".", "..", "/", "-", "'{print $" + str(r.randint(1, 9)) + "}'",
                     "s/" + word(r) + "/" + word(r) + "/g", "+%Y-%m-%d", "$((" + number(r) + r.choice("+-*") + number(r) + "))",
                     r"\n", r"\(" + word(r) + r"\)", "@" + word(r), "^" + word(r), word(r) + "$", "!" + word(r)])


def simple_command(r):
    program = r.choice(PROGRAMS) if r.random() < 0.78 else r.choice([word(r), "./" + stem(r) + ".sh", "./" + word(r), "/usr/bin/" + word(r)])
    x = r.random()
    if program == "echo" or x < 0.12:
        return "echo " + r.choice([phrase(r, 1, 6), quoted(r, phrase(r, 1, 6)), "$" + word(r).upper(), repeated(r)])
    arguments = [argument(r) for _ in range(r.choice([0, 0, 1, 1, 1, 2, 2, 3, 4]))]
    if program in ("git", "cargo", "docker", "npm", "systemctl", "go", "pip", "kubectl") and r.random() < 0.8:
        arguments.insert(0, r.choice(["status", "log", "diff", "build", "test", "run", "install", "list", "show", word(r)]))
    return " ".join([program] + arguments)


def plain_command(r):
    """A command of the kind that people try first."""
    w = lambda: word(r)
    return r.choice([
        lambda: f"{r.choice(PROGRAMS)}", lambda: f"{r.choice(PROGRAMS)} {path(r)}", lambda: f"{r.choice(PROGRAMS)} -{r.choice('abcdefhilnprstuvwx')} {path(r)}", lambda: f"{r.choice(PROGRAMS)} -{''.join(r.choices('alhrtsinp', k=r.randint(1, 3)))}",
        lambda: "echo " + phrase(r, 1, 4), lambda: "echo " + quoted(r, phrase(r, 1, 4)), lambda: f"printf '%s\\n' {phrase(r, 1, 3)}", lambda: f"printf \"%0{r.randint(2, 6)}d\\n\" {r.randint(1, 99)}", lambda: f"seq {r.randint(1, 9)} {r.randint(9, 30)}", lambda: f"seq -s{r.choice(',:-')} {r.randint(1, 4)} {r.randint(5, 20)}",
        lambda: f"expr {r.randint(1, 999)} {r.choice('+-')} {r.randint(1, 999)}", lambda: f"head -n {r.randint(1, 20)} {path(r)}", lambda: f"tail -{r.choice('nc')} {r.randint(1, 50)} {path(r)}", lambda: f"grep {r.choice(['', '-n ', '-i ', '-rn ', '-c '])}{w()} {path(r)}", lambda: f"grep -r {quoted(r, phrase(r, 1, 2))} .",
        lambda: f"cat {path(r)} {r.choice(['| wc -l', '| head -1', '| sort -r', '| sort -r | head -1', '| tr a-z A-Z', '| uniq -c', '| cut -c1-' + str(r.randint(2, 9))])}", lambda: f"echo {w()} | {r.choice(['tr a-z A-Z', 'rev', 'wc -c', 'md5sum', 'base64', 'sha1sum | cut -c1-8', f'tr {letters(r, 1, 1)} {letters(r, 1, 1)}', f'sed s/{w()}/{w()}/'])}",
        lambda: f"find . -name '*.{extension(r)}'", lambda: f"find {w()} -type {r.choice('fd')}", lambda: f"ls -{r.choice(['l', 'la', 'a', '1', 'lh', 'R', 'F'])} {r.choice([path(r), folder(r), '.', '/', '/tmp'])}", lambda: f"mkdir -p {w()}/{w()} && ls {w()}", lambda: f"rm -{r.choice(['f', 'r', 'rf', 'i'])} {path(r)}", lambda: f"mv {path(r)} {path(r)}",
        lambda: f"cp {r.choice(['', '-r '])}{path(r)} {path(r)}", lambda: f"touch {path(r)}", lambda: f"wc -{r.choice('lwc')} {path(r)}", lambda: f"wc -{r.choice('lwc')} < {path(r)}", lambda: f"sort {path(r)} | uniq -c", lambda: f"date {r.choice(['+%Y', '+%H:%M', '-u', '+%Y-%m-%d', '+%A', '-R'])}", lambda: f"uname -{r.choice('amrsnpo')}", lambda: f"sleep 0.{r.randint(1, 9)} && echo {w()}",
        lambda: f"echo {w()}; echo {w()}", lambda: f"echo {w()} && echo {w()}", lambda: f"echo {w()} > {path(r)}", lambda: f"for i in 1 2 3; do echo {quoted(r, w() + ' $i')}; done", lambda: f"basename {path(r)}", lambda: f"git {r.choice(['status', 'log --oneline', 'diff', 'branch -a', 'stash list', 'log -n ' + number(r)])}", lambda: f"python3 -c 'print({r.randint(1, 99)} * {r.randint(1, 99)})'",
        lambda: f"id -{r.choice(['u', 'un', 'g'])}", lambda: f"which {r.choice(PROGRAMS)}", lambda: f"{w()} --version", lambda: f"du -sh {r.choice(['.', folder(r)])}", lambda: f"cmp {path(r)} {path(r)}", lambda: f"test -e {path(r)} && echo {w()}", lambda: f"cut -d{r.choice(':,')} -f{r.randint(1, 4)} {path(r)}",
    ])()


def command(r):
    """A shell command: usually one program, sometimes a pipe, a list, a redirection or a loop."""
    text = simple_command(r)
    x = r.random()
    if x < 0.72:
        return text
    if x < 0.84:
        return text + r.choice([" | ", "|"]) + simple_command(r) + (" | " + simple_command(r) if r.random() < 0.2 else "")
    if x < 0.9:
        return text + r.choice([" && ", "; ", " || "]) + simple_command(r)
    if x < 0.96:
        return text + r.choice([" > ", " >> ", " 2> ", " < "]) + path(r) + r.choice(["", "", " 2>&1", " &"])
    return r.choice([f"for {letters(r, 1, 1)} in {phrase(r, 1, 3)}; do {simple_command(r)}; done", f"{word(r).upper()}={term(r)} {text}",
                     f"cd {folder(r)} && {text}", f"sudo {text}", f"{text} 2>/dev/null", f"bash -c '{r.choice(PROGRAMS)} {path(r)}'",
                     f"python3 -c \"print({number(r)} {r.choice('+-*/')} {number(r)})\"", f"test -f {path(r)} && echo {word(r)}"])


def repeated(r):
    """A phrase in which words come back: the case where copying by looking at the last word alone goes wrong."""
    few = [term(r) if r.random() < 0.3 else word(r) for _ in range(r.choice([2, 2, 2, 3, 4, 5]))]
    if r.random() < 0.4:
        return " ".join(r.choice(few) for _ in range(r.randint(3, 9)))
    out = [r.choice(few)]
    for _ in range(r.randint(1, 8)):
        out.append(r.choice(few if r.random() < 0.3 else [w for w in few if w != out[-1]] or few))  # long runs of one word would be counting, not copying
    return " ".join(out)


def altered(r, old):
    """`old` with one word or a few characters changed: as people mend what they wrote."""
    words = old.split(" ")
    i = r.randrange(len(words))
    w = words[i]
    digits = [k for k, c in enumerate(w) if c.isdigit()]
    x = r.random()
    if digits and x < 0.8:
        k = r.choice(digits)
        w = w[:k] + str(r.randint(0, 9)) + w[k + 1 :]
    elif x < 0.5:
        w = term(r)
    elif x < 0.65:
        w += r.choice(["s", "2", "_old", "-new", "!", number(r)])
    elif x < 0.8 and len(w) > 3:
        k = r.randrange(1, len(w) - 1)
        w = w[:k] + r.choice(string.ascii_lowercase) + w[k + 1 :]
    else:
        w = w.capitalize() if w.islower() else w.lower()
    return " ".join([*words[:i], w, *words[i + 1 :]])


def sentence(r):
    words = [term(r) if r.random() < 0.15 else word(r) for _ in range(r.randint(2, 12))]
    if r.random() < 0.3:
        words[r.randrange(len(words))] += ","
    text = " ".join(words)
    return (text[0].upper() + text[1:] if r.random() < 0.6 else text) + r.choice(["", ".", ".", "!", "?"])


def text(r):
    """A short text of one line, as a person would want it in a file."""
    if r.random() < 0.3:
        return r.choice([natural, natural, hard_line])(r)
    x = r.random()
    if x < 0.45:
        return phrase(r, 1, 8)
    if x < 0.6:
        return sentence(r)
    if x < 0.74:
        return repeated(r)
    if x < 0.77:
        return r.choice([lambda: " ".join(soup(r, 1, 3) for _ in range(r.randint(1, 4))), lambda: " ".join(foreign(r) for _ in range(r.randint(1, 4))), lambda: " ".join(code(r) for _ in range(r.randint(1, 3))), lambda: " ".join(r.choices(_CUES, k=r.randint(2, 6))), lambda: speech(r)])()
    if x < 0.82:
        return ", ".join(phrase(r, 1, 2) for _ in range(r.randint(2, 5)))
    return odd_text(r)


def speech(r):
    """Sentences with quotes, apostrophes and numbers in them."""
    said = phrase(r, 1, 4)
    return r.choice([f"he said '{said}' {phrase(r, 1, 2)}", f"{name(r)}: \"{said}\"", f"{phrase(r, 1, 2)} '{said}'", f"'{said}' {phrase(r, 1, 3)}", f"\"{said}\" is {word(r)}", f"don't {said}", f"it's {said}, isn't it?", f"{sentence(r)} {number(r)} {sentence(r)}", f"{word(r).capitalize()} {word(r)}. {word(r).capitalize()} {word(r)}! {word(r).capitalize()}?", f"{word(r)}: {number(r)}; {word(r)}: {number(r)}", f"{number(r)} {word(r)}, {number(r)} {word(r)}", f"{word(r).upper()} {number(r)}", f"{word(r)} ({word(r)}) - {word(r)}"])


def odd_text(r):
    return r.choice([
        lambda: word(r) + "=" + term(r), lambda: word(r) + ": " + phrase(r, 1, 4), lambda: url(r), lambda: number(r),
        lambda: "{" + f'"{word(r)}": {number(r)}, "{word(r)}": "{word(r)}"' + "}", lambda: f"print(\"{phrase(r, 1, 3)}\")",
        lambda: f"let {word(r)} = {term(r)};", lambda: word(r) + "@" + word(r) + ".com", lambda: "# " + phrase(r, 1, 4),
        lambda: f"{number(r)} {r.choice('+-*/=<>')} {number(r)}", lambda: "[" + word(r) + "] " + phrase(r, 1, 3),
        lambda: "<" + (w := word(r)) + ">" + phrase(r, 1, 3) + "</" + w + ">", lambda: "- " + phrase(r, 1, 5),
        lambda: quoted(r, phrase(r, 1, 4)) + " " + phrase(r, 1, 3), lambda: name(r) + " said " + '"' + phrase(r, 1, 4) + '"',
        lambda: word(r) + "'s " + phrase(r, 1, 3), lambda: mixed(r, 8, 24), lambda: sentence(r) + " " + sentence(r),
        lambda: "(" + phrase(r, 1, 3) + ") " + word(r), lambda: "\\" + word(r) + " " + word(r), lambda: word(r) + "; " + phrase(r, 1, 3),
        lambda: r.choice(["caf\u00e9", "\u00fcber", "na\u00efve", "\u20ac", "\u2014", "se\u00f1or", "\u00e5ngstr\u00f6m", "\u2713"]) + " " + phrase(r, 1, 3),
    ])()


def hard_line(r):
    """A line in which signs, capitals, digits and accents stand close: data, code, errors, addresses."""
    n = lambda: r.randint(0, 255)
    pair = lambda: f'"{word(r)}": ' + r.choice([number(r), f'"{word(r)}"', "true", "null", "[]"])
    return r.choice([
        lambda: "[" + ", ".join("{" + ", ".join(pair() for _ in range(r.choice([1, 2, 2]))) + "}" for _ in range(r.choice([1, 1, 2]))) + "]", lambda: "{" + ", ".join(pair() for _ in range(r.randint(1, 4))) + "}", lambda: f"{word(r).upper()}={r.choice([term(r), path(r), word(r).upper() + '.' + mixed(r, 2, 5), 'C.' + word(r).upper() + '-8'])}",
        lambda: " ".join(accented(r) for _ in range(r.randint(1, 5))), lambda: f"{accented(r)} {word(r)} {accented(r)} {number(r)}", lambda: f"{r.choice(PROGRAMS)}: \u2018{term(r)}\u2019: {phrase(r, 2, 4)}", lambda: f"/bin/sh: {r.randint(1, 9)}: {r.choice(['Syntax error: ' + phrase(r, 2, 4), word(r) + ': not found', word(r) + ': ' + phrase(r, 1, 3)])}",
        lambda: f"{n()}.{n()}.{n()}.{n()} {word(r)}.{word(r)}", lambda: f"{word(r)}.{word(r)}.{word(r)} {n()}", lambda: f"20{r.randint(10, 39)}-{r.randint(10, 12)}-{r.randint(10, 28)}T{r.randint(10, 23)}:{r.randint(10, 59)}:00Z {word(r).upper()} {phrase(r, 1, 4)}", lambda: ",".join(r.choice([word, number])(r) for _ in range(r.randint(2, 5))), lambda: ";".join(r.choice([word, number])(r) for _ in range(r.randint(2, 4))),
        lambda: f"for {(v := letters(r, 1, 1))} in *.{extension(r)}; do echo \"${v}\"; done", lambda: f"def {word(r)}({word(r)}, {word(r)}={number(r)}):", lambda: f"    return {word(r)}[{r.randint(0, 9)}] + {word(r)}", lambda: f"if ({word(r)} != {number(r)}) {{ {word(r)}(); }}", lambda: f"fn {word(r)}({letters(r, 1, 1)}: &str) -> {word(r).capitalize()} {{", lambda: f"SELECT {word(r)} FROM {word(r)} WHERE {letters(r, 1, 2)} = {number(r)};",
        lambda: f"{number(r)},{r.randint(0, 99)};{number(r)}", lambda: " ".join(mixed(r, 2, 3) for _ in range(r.randint(2, 6))), lambda: (a := mixed(r, 2, 2)) + " " + (b := mixed(r, 2, 2)) + f" {a} {b}", lambda: f"- [{r.choice(' x')}] {phrase(r, 1, 4)}", lambda: f"<{(t := letters(r, 1, 4))} {word(r)}=\"{word(r)}\">{phrase(r, 1, 3)}</{t}>", lambda: f"[{word(r)}.{word(r)}]", lambda: f"{word(r)} = \"{r.randint(0, 9)}.{r.randint(0, 20)}.{r.randint(0, 9)}\"",
        lambda: f"{word(r)}='{phrase(r, 1, 3)}'", lambda: f"https://{word(r)}.{r.choice(['org', 'com', 'io'])}/{letters(r, 1, 3)}?{letters(r, 1, 2)}={n()}&{letters(r, 1, 2)}={n()}", lambda: f"{name(r)} {name(r)} <{word(r)}@{word(r)}.org>", lambda: f"+{r.randint(1, 99)} {n()} {r.randint(100, 9999)} {r.randint(10, 9999)}", lambda: f"{word(r)} --{word(r)} {number(r)} --{word(r)}", lambda: f"| {word(r)} | {number(r)} | {word(r)} |", lambda: f"{number(r)} \u20ac {phrase(r, 1, 2)}", lambda: f"\u201c{phrase(r, 1, 4)}\u201d \u2013 {name(r)}",
    ])()


def output_line(r):
    if r.random() < 0.25:
        return hard_line(r)
    x = r.random()
    if x < 0.4:
        return text(r)
    if x < 0.55:
        return f"-rw-r--r-- 1 {word(r)} {word(r)} {r.randint(0, 99999)} Nov {r.randint(1, 30)} {r.randint(0, 23):02}:{r.randint(0, 59):02} {stem(r)}.{extension(r)}"
    if x < 0.7:
        return "\t".join([number(r), path(r)][:: r.choice([1, -1])])
    if x < 0.8:
        return f"Linux {word(r)} {r.randint(4, 6)}.{r.randint(0, 20)}.{r.randint(0, 200)}-{word(r)} #{r.randint(1, 99)} SMP x86_64 GNU/Linux"
    return r.choice([word(r), number(r), path(r), "/home/" + word(r) + "/" + word(r), "  " + phrase(r, 1, 4), term(r) + ": " + phrase(r, 1, 5),
                     "Sat Nov 21 09:41:07 UTC 2026", "total " + number(r), "#" * r.randint(1, 3) + " " + phrase(r, 1, 3)])


def listing(r):
    """Lines of one form that differ in a word or a number: `ls -l`, a table, numbered steps."""
    a, b, c = word(r), word(r), number(r)
    form = r.choice([
        lambda i: f"{a} {i}", lambda i: f"{a} {b} {word(r)}", lambda i: f"-rw-r--r-- 1 {a} {a} {r.randint(0, 9999):>4} Nov 21 12:{r.randint(0, 59):02} {stem(r)}.{extension(r)}",
        lambda i: f"{i}", lambda i: f"{i} {word(r)}", lambda i: f"{r.randint(1, 99):>7} {word(r)}", lambda i: f"{a}: {word(r)}", lambda i: f"./{a}/{stem(r)}.{extension(r)}",
        lambda i: f"drwx------ {r.randint(2, 9)} root root 4096 Nov 21 12:{r.randint(10, 59)} {r.choice(['.', '..', word(r)])}", lambda i: f"{word(r)},{c},{number(r)}", lambda i: f"{r.choice([a, b])}",
        lambda i: f"{a}{i} {b}", lambda i: f"- {word(r)} {r.choice([a, b])}", lambda i: f"{word(r)}\t{number(r)}"])
    out = [form(i) for i in range(1, r.choice([2, 2, 3, 3, 4, 5, 6, 8]) + 1)]
    return "\n".join(([f"total {r.randint(0, 200)}"] if out[0][0] in "-d" and r.random() < 0.7 else []) + out)


def table(r):
    """Columns, as programs print them: the number of spaces is to be copied too."""
    widths = [r.randint(4, 14) for _ in range(r.randint(2, 7))]
    right = r.random() < 0.6
    cell = lambda: r.choice([number(r), number(r), word(r), word(r), str(r.randint(0, 99999)), str(r.randint(0, 99)) + "%", "/" + word(r)])
    row = lambda: "".join((c.rjust(w + 1) if right else c.ljust(w) + " ") for c, w in ((cell(), w) for w in widths)).rstrip()
    head = row() if r.random() < 0.5 else word(r).capitalize() + ":" + row()
    return "\n".join(line if line.strip() else word(r) for line in [head] + [(word(r).capitalize() + ":" if r.random() < 0.4 else "") + row() for _ in range(r.randint(1, 4))])


def lines(r, low, high):
    """Several lines, some empty, some equal to an earlier one."""
    out = []
    for _ in range(r.randint(low, high)):
        x = r.random()
        out.append("" if x < 0.05 and out else r.choice(out) if x < 0.1 and out else output_line(r) if x < 0.5 else text(r))
    while out and not out[-1].strip():
        out.pop()
    return "\n".join(out) or word(r)
