-- purpose: a list of numbers or times, up to 100,000 elements; in FROM it makes rows, any number of them
-- grain:   one answer per call
-- source:  DuckDB's own range, which no interrupt ends within a call and whose memory no limit counts
-- Numbers and times have one macro: their texts tell which they are.
CREATE MACRO "range"(end_) AS system.main."range"(
    CASE
        WHEN end_ > 100000 THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE end_
    END
),

(start_, end_) AS system.main."range"(
    start_,
    CASE
        WHEN CAST(end_ AS DOUBLE) - start_ > 100000 THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE end_
    END
),

(start_, end_, step_) AS system.main."range"(
    start_,
    CASE
        WHEN coalesce(
            (TRY_CAST(CAST(end_ AS VARCHAR) AS DOUBLE) - TRY_CAST(CAST(start_ AS VARCHAR) AS DOUBLE))
            / TRY_CAST(CAST(step_ AS VARCHAR) AS DOUBLE),
            (epoch(TRY_CAST(CAST(end_ AS VARCHAR) AS TIMESTAMP)) - epoch(TRY_CAST(CAST(start_ AS VARCHAR) AS TIMESTAMP)))
            / epoch(TRY_CAST(CAST(step_ AS VARCHAR) AS INTERVAL))
        ) > 100000
            THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE end_
    END,
    step_
);
