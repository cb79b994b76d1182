-- purpose: the proteins measured over all cohorts, whatever each panel calls them, for engines other than DuckDB
-- grain:   uniprot_id
-- source:  as views/markers.sql, from the views channels and channels_per_tissue
CREATE VIEW markers AS
WITH panel AS (
    SELECT c.dataset AS dataset, c.modality AS modality, c.channel_name AS channel_name, c.uniprot_id AS uniprot_id
    FROM channels AS c
    WHERE regexp_full_match(
        c.uniprot_id,
        '<uniprot accession>'
    )
),
measuring AS (
    SELECT DISTINCT p.uniprot_id AS uniprot_id, p.dataset AS dataset, m.tissue_id AS tissue_id
    FROM panel AS p
    INNER JOIN channels_per_tissue AS m
        ON m.dataset = p.dataset AND m.modality = p.modality AND m.channel_name = p.channel_name
    WHERE m.measured
),
counted AS (
    SELECT measuring.uniprot_id AS uniprot_id, count(*) AS n_tissues FROM measuring GROUP BY measuring.uniprot_id
)
SELECT
    p.uniprot_id AS uniprot_id,                                          -- accession, isoform included
    array_agg(DISTINCT p.channel_name ORDER BY p.channel_name NULLS FIRST) AS names,  -- names that panels use for it, sorted
    array_agg(DISTINCT p.dataset ORDER BY p.dataset NULLS FIRST) AS datasets,        -- cohorts with it in a panel, sorted
    array_agg(DISTINCT p.modality ORDER BY p.modality NULLS FIRST) AS modalities,    -- modalities with it in a panel, sorted
    coalesce(max(n.n_tissues), 0) AS n_tissues                           -- tissues in which it was measured
FROM panel AS p
LEFT JOIN counted AS n ON n.uniprot_id = p.uniprot_id
GROUP BY p.uniprot_id;
