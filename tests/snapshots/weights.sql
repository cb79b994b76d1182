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
      *,
      CASE
        WHEN sample_weight < 0 OR NOT ISFINITE(sample_weight)
        THEN ERROR('A sampling weight is negative, infinite or not a number: ' || sample_weight)
        WHEN sample_weight > 0
        THEN LN(
          -LN(
            (
              CAST('0x' || SUBSTR(sample_key, 1, 13) AS BIGINT) + 0.5
            ) / 4503599627370496.0
          )
        ) - LN(sample_weight)
      END AS sample_order
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
        ) AS sample_key,
        CAST((
          "age" - 40
        ) AS DOUBLE) AS sample_weight
      FROM tiles AS base
      WHERE
        base.modality = 'imc'
        AND base.mpp = 1.0
        AND base.tile_size = 32
        AND base.strategy = 'default'
    ) AS keyed
    WHERE
      sample_weight <> 0
  ) AS capped
  ORDER BY
    sample_order,
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
  LIMIT 9
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
