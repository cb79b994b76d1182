-- purpose: a text with what matches replaced, up to 100 million characters at worst
-- grain:   one answer per call
-- source:  DuckDB's own regexp_replace, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "regexp_replace"(text_, pattern_, new_) AS system.main.regexp_replace(
    text_,
    pattern_,
    CASE
        WHEN CAST(strlen(text_) AS DOUBLE) * strlen(new_) > 100000000
            THEN error('A call of regexp_replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE new_
    END
),

(text_, pattern_, new_, options_) AS system.main.regexp_replace(
    text_,
    pattern_,
    CASE
        WHEN CAST(strlen(text_) AS DOUBLE) * strlen(new_) > 100000000
            THEN error('A call of regexp_replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE new_
    END,
    options_
);
