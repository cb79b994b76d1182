-- purpose: which classes of regions hold a place, such as the centroid of a cell in pixels, the smallest region first
-- grain:   one list of classes per call; an empty one outside all regions, NULL where the tissue has none
-- source:  source_regions, by spora-db itself; this text stands for it in other shells, and where no dataset has regions
CREATE MACRO regions_at(of_dataset, of_tissue_id, at_mpp, at_row, at_col) AS (
    CAST(NULL AS VARCHAR[])
);
