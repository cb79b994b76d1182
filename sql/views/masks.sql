-- purpose: the masks on disk
-- grain:   dataset, mpp, kind, tissue_id
-- source:  folders <dataset>/segmentations/<mpp>/{tissue_masks, cell_masks/<kind>}
CREATE VIEW masks AS
SELECT
    dataset,    -- name of the dataset's folder
    mpp,        -- resolution, microns per pixel
    kind,       -- tissue, instances (cells), or the name of a cell task
    tissue_id,  -- stem of the file
    path,       -- npz file, relative to `root`
    root        -- folder of the layer that it lies in
FROM source_masks;
