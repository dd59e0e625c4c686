-- What the file tools have changed, written before the change. `before` and `after` are SHA-256 sums in hexadecimal, under which the
-- contents themselves are kept as files beside the database; without `before` there was no file.
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER REFERENCES turns (id) ON DELETE CASCADE,
    call TEXT NOT NULL,
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    before TEXT,
    mode INTEGER,
    after TEXT,
    made INTEGER NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;
CREATE INDEX files_turn ON files (turn, id) WHERE turn IS NOT NULL;
CREATE INDEX files_call ON files (call);
