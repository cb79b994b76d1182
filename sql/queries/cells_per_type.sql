-- purpose: cells of every type
-- grain:   dataset, cell_type
-- source:  cells; its column cell_type. Where no cohort has one, the name means the NULL in `absent`.
SELECT
    c.dataset,                                         -- cohort
    c.found AS cell_type,                              -- type as the cohort names it; NULL where unknown
    count(DISTINCT c.tissue_id) AS n_tissues,          -- tissues with such a cell
    count(*) AS n_cells,                               -- cells
    count(*) / sum(count(*)) OVER (PARTITION BY c.dataset) AS cell_fraction  -- share of the cohort's cells, 0..1
FROM (SELECT CAST(NULL AS VARCHAR) AS cell_type) AS absent,
LATERAL (SELECT dataset, tissue_id, CAST(cell_type AS VARCHAR) AS found FROM cells) AS c
GROUP BY c.dataset, c.found
ORDER BY c.dataset, n_cells DESC, c.found;
