-- What the owner has accepted of the texts that skills (and AGENTS.md) bring along: by hash, with the text for the next difference.
CREATE TABLE skills (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

-- What the owner was asked about, by the call that waits for the answer: what is loaded then must be the same.
CREATE TABLE skill_questions (
    call TEXT PRIMARY KEY,
    turn INTEGER REFERENCES turns (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX skill_questions_turn ON skill_questions (turn) WHERE turn IS NOT NULL;
