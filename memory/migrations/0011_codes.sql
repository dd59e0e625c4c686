-- A code has a second bit for each number, and a scale: with it far fewer vectors are read for a search.
UPDATE vector_codes SET code = paguro_code((SELECT vector FROM vectors WHERE vectors.note = vector_codes.note));
