-- Words are cut by the program (`words.rs`), so that texts in scripts without spaces and dates are found too, and FTS5 only keeps
-- which notes have which: no positions. How many notes have a word says how telling it is; close words are found for a mistyped one.
DROP TRIGGER notes_words_insert;
DROP TRIGGER notes_words_delete;
DROP TRIGGER notes_words_update;
DROP TABLE notes_words;

CREATE VIEW notes_indexed (number, words) AS SELECT number, paguro_words(text, at) FROM notes;
CREATE VIRTUAL TABLE notes_words USING fts5 (
    words, content = 'notes_indexed', content_rowid = 'number', tokenize = 'ascii', detail = 'none', columnsize = 0
);
INSERT INTO notes_words (notes_words, rank) VALUES ('secure-delete', 1);

CREATE TABLE vocabulary (
    letters INTEGER NOT NULL,
    word TEXT NOT NULL,
    notes INTEGER NOT NULL,
    PRIMARY KEY (letters, word)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER notes_words_insert AFTER INSERT ON notes BEGIN
    INSERT INTO notes_words (rowid, words) VALUES (new.number, paguro_words(new.text, new.at));
    INSERT INTO vocabulary (letters, word, notes)
        SELECT length(value), value, 1 FROM json_each(paguro_word_list(new.text, new.at)) WHERE true
        ON CONFLICT DO UPDATE SET notes = notes + 1;
END;
CREATE TRIGGER notes_words_delete AFTER DELETE ON notes BEGIN
    INSERT INTO notes_words (notes_words, rowid, words) VALUES ('delete', old.number, paguro_words(old.text, old.at));
    UPDATE vocabulary SET notes = vocabulary.notes - 1 FROM json_each(paguro_word_list(old.text, old.at)) AS gone
        WHERE vocabulary.letters = length(gone.value) AND vocabulary.word = gone.value;
    -- Each column by a list of its own: of a list of pairs only the first column would be looked up.
    DELETE FROM vocabulary WHERE notes <= 0
        AND letters IN (SELECT length(value) FROM json_each(paguro_word_list(old.text, old.at)))
        AND word IN (SELECT value FROM json_each(paguro_word_list(old.text, old.at)));
END;
CREATE TRIGGER notes_words_update AFTER UPDATE OF text, at ON notes WHEN old.text IS NOT new.text OR old.at IS NOT new.at BEGIN
    INSERT INTO notes_words (notes_words, rowid, words) VALUES ('delete', old.number, paguro_words(old.text, old.at));
    UPDATE vocabulary SET notes = vocabulary.notes - 1 FROM json_each(paguro_word_list(old.text, old.at)) AS gone
        WHERE vocabulary.letters = length(gone.value) AND vocabulary.word = gone.value;
    -- Each column by a list of its own: of a list of pairs only the first column would be looked up.
    DELETE FROM vocabulary WHERE notes <= 0
        AND letters IN (SELECT length(value) FROM json_each(paguro_word_list(old.text, old.at)))
        AND word IN (SELECT value FROM json_each(paguro_word_list(old.text, old.at)));
    INSERT INTO notes_words (rowid, words) VALUES (new.number, paguro_words(new.text, new.at));
    INSERT INTO vocabulary (letters, word, notes)
        SELECT length(value), value, 1 FROM json_each(paguro_word_list(new.text, new.at)) WHERE true
        ON CONFLICT DO UPDATE SET notes = notes + 1;
END;
-- Index and vocabulary are filled at the next open: no version of the cutter is noted down yet.
