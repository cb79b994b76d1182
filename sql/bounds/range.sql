-- purpose: a list of numbers or times, up to 100,000 elements; in FROM it makes rows, any number of them
-- grain:   one answer per call
-- source:  DuckDB's own range, which no interrupt ends within a call and whose memory no limit counts
-- names:   range, generate_series
-- Numbers and times have one macro: their texts tell which they are.
CREATE MACRO "range"("stop") AS system.main."range"(
    CASE
        WHEN "stop" > 100000 THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE "stop"
    END
),

("start", "stop") AS system.main."range"(
    "start",
    CASE
        WHEN CAST("stop" AS DOUBLE) - "start" > 100000 THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE "stop"
    END
),

("start", "stop", "step") AS system.main."range"(
    "start",
    CASE
        WHEN coalesce(
            (TRY_CAST(CAST("stop" AS VARCHAR) AS DOUBLE) - TRY_CAST(CAST("start" AS VARCHAR) AS DOUBLE))
            / nullif(TRY_CAST(CAST("step" AS VARCHAR) AS DOUBLE), 0),
            (epoch(TRY_CAST(CAST("stop" AS VARCHAR) AS TIMESTAMP)) - epoch(TRY_CAST(CAST("start" AS VARCHAR) AS TIMESTAMP)))
            / nullif(epoch(TRY_CAST(CAST("step" AS VARCHAR) AS INTERVAL)), 0)
        ) > 100000
            THEN error('A call of range makes more than 100,000 elements. As rows, FROM range(...), there may be any number.')
        ELSE "stop"
    END,
    "step"
);
