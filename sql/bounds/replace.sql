-- purpose: a text with one part replaced, up to 100 million characters at worst
-- grain:   one answer per call
-- source:  DuckDB's own replace, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "replace"(text_, old_, new_) AS system.main."replace"(
    text_,
    old_,
    CASE
        WHEN CAST(strlen(text_) AS DOUBLE) * strlen(new_) > 100000000 * greatest(strlen(old_), 1)
            THEN error('A call of replace makes more than 100,000,000 characters at worst. Replace by a shorter text.')
        ELSE new_
    END
);
