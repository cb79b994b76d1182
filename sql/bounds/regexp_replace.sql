-- purpose: a text with what matches replaced, up to 100 million characters at worst
-- grain:   one answer per call
-- source:  DuckDB's own regexp_replace, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "regexp_replace"("string", "regex", "replacement") AS system.main.regexp_replace(
    "string",
    "regex",
    CASE
        WHEN CAST(strlen("string") AS DOUBLE) * strlen("replacement") > 100000000
            THEN error('A call of regexp_replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE "replacement"
    END
),

("string", "regex", "replacement", "options") AS system.main.regexp_replace(
    "string",
    "regex",
    CASE
        WHEN CAST(strlen("string") AS DOUBLE) * strlen("replacement") > 100000000
            THEN error('A call of regexp_replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE "replacement"
    END,
    "options"
);
