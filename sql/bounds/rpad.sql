-- purpose: a text filled up on the right, up to a million characters
-- grain:   one answer per call
-- source:  DuckDB's own rpad, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "rpad"("string", "count", "character") AS system.main.rpad(
    CASE
        WHEN "count" > 1000000 THEN error('A call of rpad makes more than 1,000,000 characters. Ask for fewer.')
        ELSE "string"
    END,
    "count",
    "character"
);
