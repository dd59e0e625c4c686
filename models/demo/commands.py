"""Shell commands that are hard to copy: quotes, pipes, lists, tests, loops, programs within programs, and words that come back.

Where such a command ends is the question: after `&&` something follows, after a closing quote or a `-n` often too.
"""

from material import altered, extension, flag, folder, letters, mixed, number, path, phrase, quoted, repeated, stem, term, url, word


def bit(r):
    """The short last argument of a command: a letter, a digit, a negative number, a suffix, a word."""
    x = r.random()
    if x < 0.3:
        return str(r.randint(-9, 20))
    if x < 0.5:
        return letters(r, 1, 2)
    if x < 0.6:
        return "." + extension(r)
    return word(r) if x < 0.85 else term(r)


def bits(r, low=1, high=4):
    few = [bit(r) for _ in range(r.randint(1, high))]
    return " ".join(r.choice(few) if r.random() < 0.4 else bit(r) for _ in range(r.randint(low, high)))


def form(r):
    """A format of printf, in which pieces come back."""
    few = [r.choice(["%s", "%d", "%x", "%c", "%5s", "%-8s", f"%0{r.randint(2, 6)}d", f"%.{r.randint(1, 3)}f", "%%"]) for _ in range(2)]
    pieces = [r.choice(["", "", word(r) + "=", letters(r, 1, 1) + "=", word(r) + " ", "[", "<", "-", ":"]) + r.choice(few) + r.choice(["", "", "]", ">", "-", ",", ":", "|", "\\t"]) for _ in range(r.choice([1, 1, 2, 2, 3]))]
    mark = r.choice("'\"")
    return mark + r.choice(["", " ", "", ":"]).join(pieces) + r.choice(["\\n", "\\n", "\\n", ""]) + mark


def inner(r):
    """What stands between quotes of a `sh -c`, without quotes of its own."""
    return r.choice([lambda: f"echo ${r.choice('0123@#?')}", lambda: f"echo {word(r)}; exit {r.randint(0, 9)}", lambda: "echo " + phrase(r, 1, 3), lambda: f"cd {folder(r)} && ls", lambda: f"exit {r.randint(1, 99)}",
                     lambda: f"{word(r)} | {word(r)}", lambda: f"echo ${word(r).upper()} $HOME", lambda: f"for {letters(r, 1, 1)} in {bits(r)}; do echo ${letters(r, 1, 1)}; done"])()


def program(r):
    """A program in the language of awk, sed, jq, perl or python, within single quotes."""
    n, m = r.randint(1, 9), r.randint(1, 9)
    return r.choice([
        lambda: f"awk '{{print ${n}}}'", lambda: f"awk '{{print ${n}, ${m}}}'", lambda: f"awk 'NR=={n} {{print ${m}}}'", lambda: f"awk -F{r.choice(',:;')} '{{print ${n}}}'", lambda: f"awk '{{s+=${n}}} END {{print s}}'", lambda: f"awk '/{word(r)}/ {{print ${n}}}'", lambda: f"awk '${n} > {number(r)}'", lambda: "awk 'END {print NR}'",
        lambda: f"sed 's/{word(r)}/{word(r)}/{r.choice(['', 'g', 'gi'])}'", lambda: f"sed -n '{n}p'", lambda: f"sed -n '{n},{n + m}p'", lambda: f"sed '/{word(r)}/d'", lambda: f"sed -e 's/{letters(r, 1, 1)}/{letters(r, 1, 1)}/' -e '{n}d'", lambda: f"sed -i 's/{word(r)}/{word(r)}/'", lambda: f"tr {quoted(r, letters(r, 1, 3))} {quoted(r, letters(r, 1, 3))}", lambda: f"tr -d '{r.choice([letters(r, 1, 2), chr(92) + 'n', ' '])}'", lambda: "tr '[:lower:]' '[:upper:]'",
        lambda: f"grep -E '{word(r)}|{word(r)}'", lambda: f"grep -v '^{r.choice(['#', word(r)])}'", lambda: "grep -o '[0-9]*'", lambda: f"grep ^{word(r).upper()}", lambda: f"grep -c {word(r)}", lambda: f"jq '.{word(r)}'", lambda: f"jq -r '.{word(r)}[] | .{word(r)}'", lambda: f"cut -d' ' -f{n}", lambda: f"cut -d{r.choice(',:;|')} -f{n},{m}".replace("-d|", "-d'|'"),
        lambda: f"head -n {n}", lambda: f"head -{n}", lambda: f"tail -n {n}", lambda: f"tail -n +{n}", lambda: f"head -c {n}", lambda: "wc -" + r.choice("lwc"), lambda: "sort -" + r.choice(["r", "n", "u", "nr", "k2", "k 2", "t, -k" + str(n)]), lambda: r.choice(["sort", "uniq -c", "uniq -d", "uniq", "rev", "tac", "nl", "cat -n", "cat -A", "od -c", "xxd", "base64 -d", "md5sum"]),
        lambda: f"xargs -n {n} echo", lambda: f"xargs -I{{}} echo {{}} {word(r)}", lambda: f"tee {path(r)}", lambda: f"fold -w {n}", lambda: f"paste -sd{r.choice(',+-:')}", lambda: "column -t", lambda: f"perl -ne 'print if /{word(r)}/'", lambda: f"grep -n -A {n} {word(r)}"])()


def simple(r):
    """One command without a pipe."""
    n, m = r.randint(0, 20), r.randint(1, 99)
    return r.choice([
        lambda: f"printf {form(r)} {bits(r)}", lambda: f"printf {form(r)} {bits(r, 2, 5)}", lambda: f"printf {form(r)}", lambda: "echo " + bits(r), lambda: "echo " + repeated(r), lambda: "echo " + quoted(r, repeated(r)), lambda: "echo " + r.choice(["-n ", "-e "]) + quoted(r, phrase(r, 1, 3) + "\\n" + word(r)), lambda: f"echo \"{word(r)} '{phrase(r, 1, 2)}' {word(r)}\"", lambda: f"echo '{word(r)} \"{phrase(r, 1, 2)}\"'", lambda: f"echo \"{word(r)} \\\"{word(r)}\\\"\"",
        lambda: f"echo \"$({simple_reader(r)} | wc -l) {word(r)}\"", lambda: f"echo {word(r)} $({r.choice(['date', 'pwd', 'whoami', 'id -u', simple_reader(r)])})", lambda: f"echo $(({n} {r.choice('+-*/%')} {m}))", lambda: f"echo \"${{{word(r).upper()}:-{word(r)}}}\"", lambda: f"echo ${r.choice(['?', '$', '0', 'HOME', 'SHELL', '{#' + word(r) + '}', word(r).upper()])}",
        lambda: f"seq {n} {r.choice(['-', ''])}{r.randint(1, 5)} {r.randint(-9, 30)}", lambda: f"seq {n} {m}", lambda: f"seq -w {n} {m}", lambda: f"seq -s {r.choice([',', '-', quoted(r, ' ')])} {n}", lambda: f"basename {path(r)} .{extension(r)}", lambda: f"basename -s .{extension(r)} {path(r)}", lambda: f"dirname {path(r)}", lambda: f"expr {n} {r.choice(['+', '-', '/', '%', chr(92) + '*'])} {m}", lambda: f"{r.choice(['readlink', 'realpath'])} {r.choice(['-f', '-m', '-e'])} /{word(r)}/../{word(r)}/{word(r)}",
        lambda: program(r) + " " + path(r), lambda: program(r) + " " + path(r), lambda: program(r) + " " + stem(r) + "." + extension(r), lambda: program(r) + " < " + path(r), lambda: f"{r.choice(['sh', 'bash', 'env -i sh', 'env -i bash', 'timeout ' + str(m) + ' sh'])} -c {r.choice(chr(39) + chr(34)).join(['', inner(r), ''])}", lambda: f"sh -c '{inner(r)}' {bits(r, 1, 2)}", lambda: f"{word(r).upper()}={bit(r)} sh -c '{inner(r)}'", lambda: f"env {word(r).upper()}={bit(r)} {word(r)}",
        lambda: f"find {r.choice(['.', folder(r)])} -name {quoted(r, '*.' + extension(r))} {r.choice(['', '-type f', '-print', '-delete', '-mtime -' + str(n), '-exec wc -l {} ' + chr(92) + ';', '-exec ls -l {} +', '-size +' + str(n) + 'k'])}".rstrip(), lambda: f"find {folder(r)} -maxdepth {n} -type {r.choice('fd')}", lambda: f"stat -c {quoted(r, '%' + r.choice('snAaU'))} {path(r)}", lambda: f"date {r.choice([quoted(r, '+%F %T'), '+%s', '-u +%H:%M', '-d @' + number(r), '--date=' + quoted(r, word(r))])}",
        lambda: f"test {r.choice(['-f', '-d', '-e', '-s', '-x', '!', '-z'])} {path(r)}", lambda: f"[ {r.choice(['-f', '-d', '-e', '!', '-n'])} {path(r)} ]", lambda: f"[ {n} {r.choice(['-gt', '-lt', '-eq', '-ne', '-ge', '='])} {m} ]", lambda: f"[ \"${word(r).upper()}\" = \"{word(r)}\" ]", lambda: f"[[ -{r.choice('nzfde')} {path(r)} ]]", lambda: f"mkdir -p {folder(r)}", lambda: f"cd {folder(r)}", lambda: f"ls -{r.choice(['1', 'l', 'a', 'la', 'lt', 'd', 'A'])} {r.choice([folder(r), '*.' + extension(r), path(r)])}", lambda: f"touch {path(r)} {path(r)}",
        lambda: f"chmod {r.choice(['644', '755', '+x', 'u+w', 'go-r'])} {path(r)}", lambda: f"ln -s {path(r)} {path(r)}", lambda: f"tar {r.choice(['czf', 'xzf', 'tf', '-cf'])} {word(r)}.tar.gz {folder(r)}", lambda: f"curl -s{r.choice(['', 'L', ' -o ' + path(r)])} {url(r)}", lambda: f"git {r.choice(['log --oneline -n ' + str(n), 'commit -m ' + quoted(r, phrase(r, 1, 4)), 'diff HEAD~' + str(n), 'show ' + mixed(r, 7, 7), 'checkout -b ' + word(r), 'log -1 --format=%h'])}", lambda: f"sleep {r.choice(['1', '0.1', '0.' + str(n)])}",
        lambda: r.choice(["true", "false", "pwd", "env", "ls", "id -u", "id -un", "date", "cd ..", "cd -", "echo", "exit " + str(n), "set -e", "type " + word(r), "umask", "history " + str(n), "hash -r", "wait", "ulimit -n", "nproc"]), lambda: f"{word(r)} --{word(r)} {bit(r)} --{word(r)}", lambda: f"{word(r)} {flag(r)} {bit(r)} {flag(r)}", lambda: f"./{word(r)} --{word(r)} {number(r)} --{word(r)}", lambda: f"python3 -c {quoted(r, r.choice(['print(' + str(n) + '**' + str(m) + ')', 'import sys; print(sys.argv)', 'print(len([1, 2]))', 'import ' + word(r)]))}", lambda: f"python3 -c 'print(\"{word(r)}\" * {n})'"])()


def simple_reader(r):
    return r.choice([lambda: "ls", lambda: "ls " + folder(r), lambda: "cat " + path(r), lambda: f"grep {word(r)} {path(r)}", lambda: "ls -1 " + word(r), lambda: "find . -type f", lambda: "ps aux", lambda: "env", lambda: "seq " + str(r.randint(2, 50)), lambda: "echo " + bits(r), lambda: "printf " + form(r) + " " + bits(r), lambda: "git log", lambda: "history"])()


def looped(r):
    v, w = letters(r, 1, 1), word(r)
    body = r.choice([f"echo ${v}", f"echo \"${v}\"", f"echo {w} ${v}", f"mv ${v} ${v}.bak", f"cat \"${v}\" | wc -l", simple(r)])
    return r.choice([f"for {v} in {bits(r)}; do {body}; done", f"for {v} in *.{extension(r)}; do {body}; done", f"for {v} in $(seq {r.randint(2, 9)}); do {body}; done", f"while read {v}; do {body}; done < {path(r)}", f"{simple_reader(r)} | while read -r {v}; do {body}; done",
                     f"if {simple(r)}; then {body}; else echo {word(r)}; fi", f"if [ -f {path(r)} ]; then {body}; fi", f"until {simple(r)}; do sleep {r.randint(1, 5)}; done", f"{v}={bit(r)}; {body}", f"{w}() {{ {body}; }}; {w}", f"({simple(r)}; {simple(r)})", f"{{ {simple(r)}; {simple(r)}; }}", f"case ${v} in {w}) {body};; esac", f"({simple(r)} && {simple(r)}) || echo {w}"])


def joined(r):
    """Commands in a row, some of them again or nearly so."""
    short = lambda: "echo " + (bit(r) if r.random() < 0.6 else bits(r)) if r.random() < 0.45 else simple(r)
    few = [short() for _ in range(r.choice([1, 2, 2, 3]))]
    if r.random() < 0.3:
        few.append(altered(r, few[0]))
    mixed_signs = r.random() < 0.3
    sign = r.choice(["; ", "; ", " && ", " && ", " || ", ";", " & ", "&&"])
    text = few[0]
    for i in range(r.choice([1, 1, 1, 2, 2, 3])):
        text += (r.choice(["; ", " && ", " || ", " | "]) if mixed_signs else sign) + (few[i + 1] if i + 1 < len(few) and r.random() < 0.8 else r.choice(few))
    return text


def chosen(r):
    """`test && echo one || echo other`, where little tells the ends apart."""
    a, b = r.choice([("yes", "no"), ("ok", "failed"), ("true", "false"), (word(r), word(r)), (w := word(r), "no " + w), (bit(r), bit(r))])
    return f"{simple(r)} && echo {a} || echo {b}"


def piped(r):
    text = simple_reader(r) if r.random() < 0.7 else simple(r)
    for _ in range(r.choice([1, 1, 1, 2, 2, 3])):
        text += r.choice([" | ", " | ", " | ", " | ", "|"]) + program(r)
    return text


def redirected(r):
    target = path(r)
    text = simple(r) + r.choice([" > ", " >> ", " 2> ", " &> ", " >", " > "]) + target + r.choice(["", "", "", " 2>&1", " &"])
    return text + r.choice(["", "", r.choice(["; ", " && "]) + r.choice(["cat ", "wc -l ", "ls -l ", "head -1 ", "cat -n "]) + target, " < " + path(r)])


def hard_command(r):
    x = r.random()
    if x < 0.34:
        text = simple(r)
    elif x < 0.56:
        text = joined(r)
    elif x < 0.76:
        text = piped(r)
    elif x < 0.84:
        text = redirected(r)
    elif x < 0.9:
        text = chosen(r)
    else:
        text = looped(r)
    if r.random() < 0.08:
        text += r.choice([" 2>/dev/null", " > /dev/null", " 2>&1", " &", " | head -1", " | wc -l", " || true", "; echo $?", "; echo"])
    if r.random() < 0.04:
        text = r.choice(["sudo ", "time ", "nice -n 5 ", "timeout 5 ", "exec ", "nohup ", "! "]) + text
    return text
