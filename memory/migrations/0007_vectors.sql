-- Vectors in tables of their own, the numbers as they were given, and beside each its code: one bit a number, small enough to be held in
-- memory and looked through for every search.
DELETE FROM facts WHERE name IN ('vector_dimension', 'embedder');

CREATE TABLE vectors (
    note INTEGER PRIMARY KEY REFERENCES notes (number) ON DELETE CASCADE,
    vector BLOB NOT NULL
) STRICT;
-- `class` says who may find it: 0 a note, 1 a piece of a turn, 2 a fact, 3 what a newer fact replaces: nobody.
CREATE TABLE vector_codes (
    note INTEGER PRIMARY KEY REFERENCES vectors (note) ON DELETE CASCADE,
    class INTEGER NOT NULL,
    code BLOB NOT NULL
) STRICT;
-- Notes without a vector.
CREATE TABLE vectors_wanted (
    note INTEGER PRIMARY KEY REFERENCES notes (number) ON DELETE CASCADE
) STRICT;
INSERT INTO vectors_wanted (note) SELECT number FROM notes;

CREATE TRIGGER vectors_note_insert AFTER INSERT ON notes BEGIN
    INSERT INTO vectors_wanted (note) VALUES (new.number);
END;
CREATE TRIGGER vectors_note_text AFTER UPDATE OF text ON notes WHEN old.text IS NOT new.text BEGIN
    DELETE FROM vectors WHERE note = new.number;
    INSERT INTO vectors_wanted (note) VALUES (new.number) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER vectors_note_class AFTER UPDATE OF kind, replaced ON notes
    WHEN old.kind IS NOT new.kind OR old.replaced IS NOT new.replaced BEGIN
    UPDATE vector_codes
        SET class = CASE WHEN new.replaced IS NOT NULL THEN 3 WHEN new.kind = 'note' THEN 0 WHEN new.kind = 'turn' THEN 1 ELSE 2 END
        WHERE note = new.number;
END;
