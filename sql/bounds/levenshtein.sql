-- purpose: the distance of two texts, up to a million pairs of their characters
-- grain:   one answer per call
-- source:  DuckDB's own levenshtein, which no interrupt ends within a call and whose memory no limit counts
-- names:   levenshtein, editdist3, damerau_levenshtein
CREATE MACRO "levenshtein"("s1", "s2") AS system.main.levenshtein(
    "s1",
    CASE
        WHEN CAST(strlen("s1") AS DOUBLE) * strlen("s2") > 1000000
            THEN error('A call of levenshtein compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE "s2"
    END
);
