-- purpose: how many markers two cohorts share
-- grain:   pair of cohorts (a cohort with itself: the size of its panel)
-- source:  markers
WITH pairs AS (
    SELECT uniprot_id, unnest(datasets) AS dataset FROM markers
)
SELECT
    one.dataset AS dataset,            -- cohort
    other.dataset AS other_dataset,    -- the cohort it is compared with
    count(*) AS n_shared               -- markers in both panels, by UniProt accession
FROM pairs AS one
INNER JOIN pairs AS other ON one.uniprot_id = other.uniprot_id
GROUP BY one.dataset, other.dataset
ORDER BY one.dataset, other.dataset;
