-- purpose: how uncertain scores of classes are: their entropy, in nats; 0 where one class has all, ln(n) where n have the same
-- grain:   one number per call; of a list or an array of probabilities, others are an error; NULL of NULL or NULLs
-- source:  checked_probabilities
CREATE MACRO score_entropy(scores) AS (
    0 - list_sum(
        list_transform(
            checked_probabilities(scores), lambda score_: CASE WHEN score_ > 0 THEN score_ * ln(score_) ELSE 0 END
        )
    )
);
