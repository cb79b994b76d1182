SELECT
  "dataset",
  "modality",
  "mpp",
  "strategy",
  "tile_size",
  "tissue_id",
  "tile_id",
  "row",
  "col"
FROM (
  SELECT
    "dataset",
    "modality",
    "mpp",
    "strategy",
    "tile_size",
    "tissue_id",
    "tile_id",
    "row",
    "col"
  FROM (
    SELECT
      "base"."dataset",
      "base"."modality",
      "base"."mpp",
      "base"."strategy",
      "base"."tile_size",
      "base"."tissue_id",
      "base"."tile_id",
      "base"."row",
      "base"."col",
      MD5(
        CONCAT_WS('|', 'spora-db/1', CAST(0 AS TEXT), base.dataset, base.tissue_id, base.tile_id)
      ) AS sample_key
    FROM tiles AS base
    WHERE
      base.modality = 'imc'
      AND base.mpp = 1.0
      AND base.tile_size = 32
      AND base.strategy = 'default'
  ) AS capped
  ORDER BY
    sample_key,
    "dataset",
    "modality",
    "mpp",
    "strategy",
    "tile_size",
    "tissue_id",
    "tile_id",
    "row",
    "col"
  LIMIT 11
) AS sample
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
LIMIT 4
