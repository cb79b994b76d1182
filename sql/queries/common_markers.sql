-- purpose: the markers that most cohorts measure
-- grain:   uniprot_id
-- source:  markers
SELECT
    uniprot_id,                     -- accession
    names,                          -- names that panels use
    len(datasets) AS n_datasets,    -- cohorts with it
    modalities,                     -- modalities with it
    n_tissues                       -- tissues in which it was measured
FROM markers
ORDER BY n_datasets DESC, n_tissues DESC, uniprot_id;
