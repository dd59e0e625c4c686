-- What runs at a time. Times are UTC, in milliseconds since 1970: they are compared, and whoever reads `schedule` knows its zone.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The same for every run of the call that made it.
    key TEXT UNIQUE,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('prompt', 'reminder', 'heartbeat')),
    schedule TEXT NOT NULL,
    zone TEXT NOT NULL,
    -- The prompt, the words of the reminder, or the checklist's file.
    text TEXT NOT NULL,
    -- Where what it says goes.
    channel TEXT NOT NULL,
    session TEXT NOT NULL,
    missed TEXT NOT NULL CHECK (missed IN ('once', 'skip')),
    -- Where the untrusted text came from that was in the context when it was made.
    origin TEXT,
    enabled INTEGER NOT NULL DEFAULT 1,
    created INTEGER NOT NULL,
    -- When it is due; NULL: never again.
    next INTEGER,
    -- When a missed run was due that is to be made up for.
    pending INTEGER,
    last INTEGER,
    -- The last run's turn.
    turn INTEGER REFERENCES turns (id) ON DELETE SET NULL,
    -- Runs that failed since the last one that did not.
    failures INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_next ON jobs (next) WHERE enabled AND next IS NOT NULL;
CREATE INDEX jobs_pending ON jobs (pending) WHERE enabled AND pending IS NOT NULL;
CREATE INDEX jobs_turn ON jobs (turn) WHERE turn IS NOT NULL;

CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    due INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('started', 'said', 'overlap', 'missed', 'nothing')),
    why TEXT,
    turn INTEGER REFERENCES turns (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX job_runs_job ON job_runs (job, id);
CREATE INDEX job_runs_turn ON job_runs (turn) WHERE turn IS NOT NULL;
