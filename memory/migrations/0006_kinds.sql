-- What is worth finding again is of three kinds: a note that somebody took, a piece of a turn as it was said, and a fact that was
-- distilled from turns. A piece goes with its turn; notes and facts outlive theirs.
ALTER TABLE notes ADD COLUMN kind TEXT NOT NULL DEFAULT 'note' CHECK (kind IN ('note', 'turn', 'fact'));
-- Where it was said; found first from there.
ALTER TABLE notes ADD COLUMN session INTEGER REFERENCES sessions (id) ON DELETE SET NULL;
-- The fact that says it newer; what has one is found no more, and stays for its owner to see.
ALTER TABLE notes ADD COLUMN replaced INTEGER REFERENCES notes (number) ON DELETE SET NULL;
CREATE INDEX notes_kind ON notes (kind, at, number);
CREATE INDEX notes_fact ON notes (text COLLATE NOCASE) WHERE kind = 'fact';
CREATE INDEX notes_session ON notes (session) WHERE session IS NOT NULL;
CREATE INDEX notes_replaced ON notes (replaced) WHERE replaced IS NOT NULL;

-- The turns that a fact was distilled from.
CREATE TABLE note_sources (
    note INTEGER NOT NULL REFERENCES notes (number) ON DELETE CASCADE,
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    PRIMARY KEY (note, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX note_sources_turn ON note_sources (turn);

CREATE TRIGGER notes_turn_delete BEFORE DELETE ON turns BEGIN
    DELETE FROM notes WHERE source_turn = old.id AND kind = 'turn';
END;
CREATE TRIGGER notes_turn_undone AFTER UPDATE OF undone ON turns WHEN new.undone IS NOT NULL BEGIN
    DELETE FROM notes WHERE source_turn = old.id AND kind = 'turn';
END;

-- The turn up to which facts were distilled.
ALTER TABLE sessions ADD COLUMN distilled INTEGER NOT NULL DEFAULT 0;
