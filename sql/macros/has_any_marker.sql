-- purpose: whether at least one of the wanted markers was measured in a tissue
-- grain:   one truth value per call; a name means what it means in `SporaQuery.channels`, see n_markers
-- source:  n_markers
CREATE MACRO has_any_marker(of_dataset, of_modality, of_tissue_id, wanted) AS (
    n_markers(of_dataset, of_modality, of_tissue_id, wanted) > 0
);
