-- purpose: a number or text in binary digits, of up to ten million characters
-- grain:   one answer per call
-- source:  DuckDB's own bin, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "bin"("value") AS system.main.bin(
    CASE
        WHEN strlen(CAST("value" AS VARCHAR)) > 10000000
            THEN error('A call of bin makes more than 10,000,000 characters. Ask for a part of it.')
        ELSE "value"
    END
);
