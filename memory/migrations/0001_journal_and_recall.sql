-- 0x50616775 is "Pagu": tells this file from another program's.
PRAGMA application_id = 1348560757;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    last TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    system_block TEXT,
    UNIQUE (channel, name)
) STRICT;
CREATE INDEX sessions_last ON sessions (last);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    platform_id TEXT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    text TEXT NOT NULL,
    data TEXT
) STRICT;
CREATE UNIQUE INDEX inbox_platform ON inbox (channel, platform_id) WHERE platform_id IS NOT NULL;
CREATE INDEX inbox_session ON inbox (session);

CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    inbound INTEGER NOT NULL UNIQUE REFERENCES inbox (id) ON DELETE CASCADE,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'failed')),
    outcome TEXT,
    finished TEXT,
    undone TEXT,
    CHECK ((state = 'open') = (finished IS NULL))
) STRICT;
CREATE INDEX turns_open ON turns (id) WHERE finished IS NULL;
CREATE INDEX turns_session ON turns (session, id);
CREATE INDEX turns_history ON turns (session, id) WHERE finished IS NOT NULL AND undone IS NULL;

CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (turn, seq)
) STRICT;
CREATE TRIGGER steps_append_only BEFORE UPDATE ON steps BEGIN
    SELECT RAISE(ABORT, 'steps are append-only');
END;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    -- The turn's, once more, for the index; it goes when the turn goes.
    session INTEGER NOT NULL,
    channel TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    sent TEXT,
    platform_id TEXT
) STRICT;
CREATE INDEX outbox_unsent ON outbox (channel, id) WHERE sent IS NULL;
CREATE INDEX outbox_unsent_session ON outbox (session, id) WHERE sent IS NULL;
CREATE INDEX outbox_turn ON outbox (turn);

-- The conversation as it stands, in order, for people: what was written, what the model said, what its calls gave, undone turns
-- left out. The one place of this file that knows what the agent's steps mean: a tool's words are what its `Step::ending` says.
CREATE VIEW messages (session, channel, turn, seq, role, text, calls, at) AS
    SELECT s.name, s.channel, t.id, 0, 'user', i.text, NULL, i.at
        FROM turns t JOIN inbox i ON i.id = t.inbound JOIN sessions s ON s.id = t.session
        WHERE t.undone IS NULL
    UNION ALL
    -- Without text and without calls a reply is none; the model was asked again.
    SELECT s.name, s.channel, t.id, p.seq, 'assistant', p.body ->> '$.message.content',
            nullif(p.body -> '$.message.tool_calls', '[]'), p.at
        FROM turns t JOIN steps p ON p.turn = t.id JOIN sessions s ON s.id = t.session
        WHERE t.undone IS NULL AND p.kind = 'thought'
            AND (trim(p.body ->> '$.message.content', char(9, 10, 11, 12, 13, 32)) <> ''
                OR nullif(p.body -> '$.message.tool_calls', '[]') IS NOT NULL)
    UNION ALL
    SELECT s.name, s.channel, t.id, p.seq, 'tool',
            CASE p.kind
                WHEN 'result' THEN p.body ->> '$.content'
                WHEN 'refused' THEN 'error: ' || (p.body ->> '$.reason')
                ELSE 'error: the owner did not allow this' || coalesce(': ' || (p.body ->> '$.why'), '')
            END, NULL, p.at
        FROM turns t JOIN steps p ON p.turn = t.id JOIN sessions s ON s.id = t.session
        WHERE t.undone IS NULL
            AND (p.kind IN ('result', 'refused') OR p.kind = 'answered' AND p.body ->> '$.allowed' = 0)
    UNION ALL
    -- A turn that failed ends with a sentence of the program's; the reply of one that did not is the last thought.
    SELECT s.name, s.channel, t.id, 1 + coalesce((SELECT max(seq) FROM steps WHERE turn = t.id), 0), 'assistant', o.text, NULL, o.at
        FROM turns t JOIN outbox o ON o.turn = t.id JOIN sessions s ON s.id = t.session
        WHERE t.undone IS NULL AND t.state = 'failed'
    ORDER BY 3, 4;

CREATE TABLE notes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,
    text TEXT NOT NULL,
    at TEXT NOT NULL,
    source_turn INTEGER REFERENCES turns (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX notes_at ON notes (at, number);
CREATE INDEX notes_source ON notes (source_turn) WHERE source_turn IS NOT NULL;

CREATE VIRTUAL TABLE notes_words USING fts5 (
    text, content = 'notes', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
-- A deleted note's words leave the index at once, not at some later merge.
INSERT INTO notes_words (notes_words, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER notes_words_insert AFTER INSERT ON notes BEGIN
    INSERT INTO notes_words (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER notes_words_delete AFTER DELETE ON notes BEGIN
    INSERT INTO notes_words (notes_words, rowid, text) VALUES ('delete', old.number, old.text);
END;
CREATE TRIGGER notes_words_update AFTER UPDATE OF text ON notes WHEN old.text IS NOT new.text BEGIN
    INSERT INTO notes_words (notes_words, rowid, text) VALUES ('delete', old.number, old.text);
    INSERT INTO notes_words (rowid, text) VALUES (new.number, new.text);
END;

-- What is known of the file as a whole; `vector_dimension` once there is a vector.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
