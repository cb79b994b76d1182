-- purpose: a number or text in hexadecimal digits, of up to ten million characters
-- grain:   one answer per call
-- source:  DuckDB's own hex, which no interrupt ends within a call and whose memory no limit counts
-- names:   hex, to_hex
CREATE MACRO "hex"("value") AS system.main.hex(
    CASE
        WHEN strlen(CAST("value" AS VARCHAR)) > 10000000
            THEN error('A call of hex makes more than 10,000,000 characters. Ask for a part of it.')
        ELSE "value"
    END
);
