-- purpose: what is known about every segmented cell
-- grain:   dataset, tissue_id, cell_id
-- source:  metadata/cells.parquet
CREATE VIEW cells AS
SELECT
    dataset,    -- name of the dataset's folder
    tissue_id,  -- tissue the cell lies in
    cell_id,    -- label of the cell in the tissue's instance mask; an error where it is no whole number in digits
    * EXCLUDE (dataset, tissue_id, cell_id)  -- the cohorts' own columns; NULL where absent
FROM source_cells;
