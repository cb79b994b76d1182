-- purpose: the distance of two texts, up to a million pairs of their characters
-- grain:   one answer per call
-- source:  DuckDB's own editdist3, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "editdist3"(left_, right_) AS system.main.editdist3(
    left_,
    CASE
        WHEN CAST(strlen(left_) AS DOUBLE) * strlen(right_) > 1000000
            THEN error('A call of editdist3 compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE right_
    END
);
