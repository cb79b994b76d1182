-- purpose: which share of a tile lies in the regions of each class, the largest first
-- grain:   one map from class to share per call; an empty one outside all regions, NULL where the tissue has none
-- source:  source_regions, by spora-db itself; this text stands for it in other shells, and where no dataset has regions
CREATE MACRO regions_of_tile(of_dataset, of_tissue_id, at_mpp, at_row, at_col, of_size) AS (
    CAST(NULL AS MAP(VARCHAR, DOUBLE))
);
