SELECT
  "base"."dataset",
  "base"."modality",
  "base"."mpp",
  "base"."strategy",
  "base"."tile_size",
  "base"."tissue_id",
  "base"."tile_id",
  "base"."row",
  "base"."col"
FROM tiles AS base
WHERE
  base.modality IN ('imc', 'he')
  AND base.mpp = 1.0
  AND base.tile_size = 32
  AND base.strategy = 'default'
  AND (
    base.modality = 'imc'
    OR (
      base.modality = 'he'
      AND NOT EXISTS(
        SELECT
          1
        FROM images AS i
        WHERE
          (
            i.dataset = base.dataset AND i.mpp = base.mpp AND i.tissue_id = base.tissue_id
          )
          AND i.modality = 'imc'
      )
    )
  )
ORDER BY
  "dataset",
  "modality",
  "mpp",
  "strategy",
  "tile_size",
  "tissue_id",
  "tile_id",
  "row",
  "col"
