-- What most vectors are like. A code may be of what its vector differs by from one of these; those that are there are of the vectors
-- themselves.
CREATE TABLE vector_centres (
    number INTEGER PRIMARY KEY,
    vector BLOB NOT NULL
) STRICT;
