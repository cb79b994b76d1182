-- purpose: a text with one part replaced, up to 100 million characters at worst
-- grain:   one answer per call
-- source:  DuckDB's own replace, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "replace"("string", "source", "target") AS system.main."replace"(
    "string",
    "source",
    CASE
        WHEN CAST(strlen("string") AS DOUBLE) * strlen("target") > 100000000 * greatest(strlen("source"), 1)
            THEN error('A call of replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE "target"
    END
);
