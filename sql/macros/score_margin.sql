-- purpose: how far the most probable class is ahead of the second, 0..1: the less, the more uncertain
-- grain:   one number per call; of a list or an array of probabilities, others are an error; NULL of NULL or NULLs
-- source:  checked_probabilities
CREATE MACRO score_margin(scores) AS (
    list_max(checked_probabilities(scores)) - list_reverse_sort(CAST(scores AS DOUBLE[]))[2]
);
