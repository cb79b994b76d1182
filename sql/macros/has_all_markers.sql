-- purpose: whether all wanted markers were measured in a tissue
-- grain:   one truth value per call; a marker is an accession, or a channel name in any case
-- source:  n_markers
CREATE MACRO has_all_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    n_markers(of_dataset, of_modality, of_tissue_id, wanted) = len(list_distinct(wanted))
);
