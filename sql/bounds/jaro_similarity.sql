-- purpose: how similar two texts are, up to a million pairs of their characters
-- grain:   one answer per call
-- source:  DuckDB's own jaro_similarity, which no interrupt ends within a call
-- names:   jaro_similarity, jaro_winkler_similarity
CREATE MACRO "jaro_similarity"("s1", "s2") AS system.main.jaro_similarity(
    "s1",
    CASE
        WHEN CAST(strlen("s1") AS DOUBLE) * strlen("s2") > 1000000
            THEN error('A call of jaro_similarity compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE "s2"
    END
),

("s1", "s2", "score_cutoff") AS system.main.jaro_similarity(
    "s1",
    CASE
        WHEN CAST(strlen("s1") AS DOUBLE) * strlen("s2") > 1000000
            THEN error('A call of jaro_similarity compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE "s2"
    END,
    "score_cutoff"
);
