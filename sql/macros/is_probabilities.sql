-- purpose: whether scores of classes, such as a model says them of a row, are probabilities: two or more numbers of at least 0
--          that add up to 1, but for the rounding of halves
-- grain:   one truth value per call; of a list or an array; NULL of NULL, false where a number is NULL or NaN
-- source:  its argument
CREATE MACRO is_probabilities(scores) AS (
    CASE WHEN scores IS NOT NULL THEN
        len(CAST(scores AS DOUBLE[])) > 1
        AND list_count(CAST(scores AS DOUBLE[])) = len(CAST(scores AS DOUBLE[]))
        AND list_min(CAST(scores AS DOUBLE[])) >= 0
        AND list_sum(CAST(scores AS DOUBLE[])) BETWEEN 0.99 AND 1.01  -- NaN is above all numbers
    END
);
