-- Steps are append-only, with one exception: the owner has something forgotten. The row stands in `facts` inside of that one
-- transaction only.
DROP TRIGGER steps_append_only;
CREATE TRIGGER steps_append_only BEFORE UPDATE ON steps WHEN NOT EXISTS (SELECT 1 FROM facts WHERE name = 'forgetting') BEGIN
    SELECT RAISE(ABORT, 'steps are append-only');
END;

-- What an import says of where a note came from, and this memory cannot follow: a session, turns that are not here. JSON; goes out
-- again with the next export.
ALTER TABLE notes ADD COLUMN imported TEXT;
