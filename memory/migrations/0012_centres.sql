-- What most vectors are like. A code may be of what its vector differs by from one of these; those that are there are of the vectors
-- themselves.
CREATE TABLE vector_centres (
    number INTEGER PRIMARY KEY,
    vector BLOB NOT NULL
) STRICT;
-- The centres (as a code ends) of which a vector has gone: what is forgotten must not be in the mean. A code of a centre has 14 bytes behind
-- its bits, one by itself 4.
CREATE TABLE vector_centres_left (
    centre BLOB PRIMARY KEY
) STRICT;
CREATE TRIGGER vector_codes_gone AFTER DELETE ON vector_codes WHEN length(old.code) % 8 = 6 BEGIN
    INSERT OR IGNORE INTO vector_centres_left (centre) VALUES (substr(old.code, -2));
END;
