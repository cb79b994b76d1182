-- purpose: a text filled up on the left, or on the right, up to a million characters
-- grain:   one answer per call
-- source:  DuckDB's own lpad, which no interrupt ends within a call and whose memory no limit counts
-- names:   lpad, rpad
CREATE MACRO "lpad"("string", "count", "character") AS system.main.lpad(
    CASE
        WHEN "count" > 1000000 THEN error('A call of lpad makes more than 1,000,000 characters. Ask for fewer.')
        ELSE "string"
    END,
    "count",
    "character"
);
