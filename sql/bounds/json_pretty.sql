-- purpose: a JSON text on many lines, indented; deep ones only where they are short
-- grain:   one answer per call
-- source:  DuckDB's own json_pretty, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "json_pretty"("json") AS system.main.json_pretty(
    CASE
        WHEN CAST(strlen(CAST("json" AS VARCHAR)) AS DOUBLE)
            * len(regexp_replace(CAST("json" AS VARCHAR), '[^\[{]', '', 'g')) > 1000000000
            THEN error('A call of json_pretty indents too much. Ask for a part of it.')
        ELSE "json"
    END
);
