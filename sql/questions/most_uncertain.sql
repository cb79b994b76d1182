-- purpose: the rows whose class scores are the least certain, in turn those of each predicted class where that is asked for
-- grain:   one row per chosen row, the most uncertain first; of equals the first
-- source:  scored_rows: the place of every row of a query, from 0, and its scores
SELECT *
FROM (
    SELECT
        place,                                                    -- which row it is
        CASE WHEN $measure = 'entropy' THEN score_entropy(scores) ELSE 1 - score_margin(scores) END
            AS uncertainty,                                       -- entropy in nats, or 1 less the margin
        list_position(CAST(scores AS DOUBLE[]), list_max(CAST(scores AS DOUBLE[]))) - 1
            AS predicted                                          -- the most probable class, from 0
    FROM scored_rows
) AS measured
ORDER BY
    CASE WHEN $balanced THEN row_number() OVER (PARTITION BY predicted ORDER BY uncertainty DESC, place) END,
    uncertainty DESC,
    place
LIMIT $n
