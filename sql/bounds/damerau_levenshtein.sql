-- purpose: the distance of two texts, up to a million pairs of their characters
-- grain:   one answer per call
-- source:  DuckDB's own damerau_levenshtein, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "damerau_levenshtein"(left_, right_) AS system.main.damerau_levenshtein(
    left_,
    CASE
        WHEN CAST(strlen(left_) AS DOUBLE) * strlen(right_) > 1000000
            THEN error('A call of damerau_levenshtein compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE right_
    END
);
