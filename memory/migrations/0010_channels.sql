-- What a channel such as Telegram needs to lose nothing and to double nothing.

-- The platform's id of a message, which its edits name; and who wrote it, where that is not the owner.
ALTER TABLE inbox ADD COLUMN message TEXT;
ALTER TABLE inbox ADD COLUMN person TEXT;
CREATE INDEX inbox_message ON inbox (session, message) WHERE message IS NOT NULL;

-- The program has something to say of its own, too: such a message answers no turn. `messages` reads the outbox, so it is made anew.
DROP VIEW messages;
CREATE TABLE outbox_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER REFERENCES turns (id) ON DELETE CASCADE,
    -- Where it goes; of a job's turn that is not the turn's.
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    -- When it was delivered, or given up.
    sent TEXT,
    platform_id TEXT,
    -- What it is about, in the channel's words: said once.
    about TEXT,
    -- Why it can never be delivered.
    given_up TEXT,
    -- Of a message that answers no turn: the last turn of its session when it was written. It is forgotten with that one.
    beside INTEGER REFERENCES turns (id) ON DELETE SET NULL
) STRICT;
-- What went to a session that has been removed since would never be delivered.
INSERT INTO outbox_new (id, turn, session, channel, text, at, sent, platform_id)
    SELECT id, turn, session, channel, text, at, sent, platform_id FROM outbox WHERE session IN (SELECT id FROM sessions);
-- Numbers are never used again.
DELETE FROM sqlite_sequence WHERE name = 'outbox_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox_new', seq FROM sqlite_sequence WHERE name = 'outbox';
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
CREATE INDEX outbox_unsent ON outbox (channel, id) WHERE sent IS NULL;
CREATE INDEX outbox_unsent_session ON outbox (session, id) WHERE sent IS NULL;
CREATE INDEX outbox_turn ON outbox (turn) WHERE turn IS NOT NULL;
CREATE INDEX outbox_session ON outbox (session);
CREATE INDEX outbox_beside ON outbox (beside) WHERE beside IS NOT NULL;
CREATE UNIQUE INDEX outbox_about ON outbox (channel, about) WHERE about IS NOT NULL;

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

-- A long text goes out in several messages, each confirmed for itself.
CREATE TABLE outbox_parts (
    outbound INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    platform_id TEXT NOT NULL,
    PRIMARY KEY (outbound, part)
) STRICT, WITHOUT ROWID;

-- Updates that started no turn (commands, buttons), the newest.
CREATE TABLE updates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    UNIQUE (channel, platform_id)
) STRICT;

-- What a channel has to know after a restart.
CREATE TABLE settings (
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (channel, name)
) STRICT, WITHOUT ROWID;
