-- purpose: whether at least one of the wanted markers was measured in a tissue
-- grain:   one truth value per call; a marker is an accession, or a channel name in any case
-- source:  n_markers
CREATE MACRO has_any_marker(of_dataset, of_modality, of_tissue_id, wanted) AS (
    n_markers(of_dataset, of_modality, of_tissue_id, wanted) > 0
);
