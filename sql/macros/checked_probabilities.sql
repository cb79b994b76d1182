-- purpose: scores of classes, as a list; an error where they are no probabilities
-- grain:   one list per call; NULL of NULL, and of NULLs alone, as rows have that a joined table says nothing of
-- source:  is_probabilities
CREATE MACRO checked_probabilities(scores) AS (
    CASE
        WHEN len(CAST(scores AS DOUBLE[])) > 1 AND list_count(CAST(scores AS DOUBLE[])) = 0 THEN NULL
        WHEN scores IS NULL OR is_probabilities(scores) THEN CAST(scores AS DOUBLE[])
        ELSE error(
            'A call of score_entropy or score_margin has ' || CAST(scores AS VARCHAR) || ', which are no probabilities: '
            || 'expected two or more numbers of at least 0 that add up to 1. Take their softmax first.'
        )
    END
);
