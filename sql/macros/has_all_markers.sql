-- purpose: whether all wanted markers were measured in a tissue
-- grain:   one truth value per call; a name means what it means in `SporaQuery.channels`, see n_markers
-- source:  n_markers
CREATE MACRO has_all_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    n_markers(of_dataset, of_modality, of_tissue_id, wanted) = len(list_distinct(wanted))
);
