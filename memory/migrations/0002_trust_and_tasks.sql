-- A note keeps where untrusted text came from that stood in the context when it was noted; a pinned one is in every new context.
ALTER TABLE notes ADD COLUMN origin TEXT;
ALTER TABLE notes ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX notes_pinned ON notes (number) WHERE pinned;

-- A task is a turn that another turn started; what it may do is the agent's record.
ALTER TABLE turns ADD COLUMN parent INTEGER REFERENCES turns (id) ON DELETE CASCADE;
ALTER TABLE turns ADD COLUMN task TEXT;
CREATE INDEX turns_parent ON turns (parent) WHERE parent IS NOT NULL;

-- What the owner allowed for the rest of a session; each is a rule of the agent's.
CREATE TABLE grants (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (session, rule)
) STRICT;

-- What stands in a new context for the turns of a session up to and with `upto`.
CREATE TABLE summaries (
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    upto INTEGER NOT NULL,
    text TEXT NOT NULL,
    origin TEXT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (session, upto)
) STRICT;
