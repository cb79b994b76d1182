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
    *
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
        CONCAT_WS('|', 'spora-db/1', CAST(7 AS TEXT), base.dataset, base.tissue_id, base.tile_id)
      ) AS sample_key
    FROM tiles AS base
    WHERE
      base.modality = 'imc'
      AND base.mpp = 1.0
      AND base.tile_size = 32
      AND base.strategy = 'default'
  ) AS keyed
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY dataset, tissue_id
      ORDER BY sample_key, "dataset", "modality", "mpp", "strategy", "tile_size", "tissue_id", "tile_id", "row", "col"
    ) <= 2
) AS capped
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
