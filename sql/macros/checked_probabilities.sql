-- purpose: scores of classes, as a list; an error where they are no probabilities
-- grain:   one list per call; NULL of NULL
-- source:  is_probabilities
CREATE MACRO checked_probabilities(scores) AS (
    CASE
        WHEN scores IS NULL OR is_probabilities(scores) THEN CAST(scores AS DOUBLE[])
        ELSE error(
            'A call of score_entropy or score_margin has ' || CAST(scores AS VARCHAR) || ', which are no probabilities: '
            || 'expected two or more numbers of at least 0 that add up to 1. Take their softmax first.'
        )
    END
);
