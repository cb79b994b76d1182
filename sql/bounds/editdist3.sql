-- purpose: the distance of two texts, up to a million pairs of their characters
-- grain:   one answer per call
-- source:  DuckDB's own editdist3, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "editdist3"("s1", "s2") AS system.main.editdist3(
    "s1",
    CASE
        WHEN CAST(strlen("s1") AS DOUBLE) * strlen("s2") > 1000000
            THEN error('A call of editdist3 compares more than 1,000,000 pairs of characters. Compare shorter texts.')
        ELSE "s2"
    END
);
