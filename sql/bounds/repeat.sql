-- purpose: a text, binary or list many times, up to a million characters
-- grain:   one answer per call
-- source:  DuckDB's own repeat, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "repeat"("string", "count") AS system.main.repeat(
    CASE
        WHEN CAST("count" AS DOUBLE) * strlen(CAST("string" AS VARCHAR)) > 1000000
            THEN error('A call of repeat makes more than 1,000,000 characters. Ask for fewer.')
        ELSE "string"
    END,
    "count"
);
