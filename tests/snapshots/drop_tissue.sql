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
  base.modality = 'imc'
  AND base.mpp = 1.0
  AND base.tile_size = 32
  AND base.strategy = 'default'
  AND NOT CONCAT_WS('/', base.dataset, base.tissue_id) IN (
    WITH statistics AS (
      SELECT
        s.dataset,
        s.level,
        COALESCE(s.tissue_id, '') AS tissue_id,
        s.channel_name,
        s."lower",
        s."upper",
        s.mean,
        s.std,
        s.tables
      FROM standardization_stats AS s
      INNER JOIN (
        SELECT DISTINCT
          dataset,
          channel_name
        FROM channels
        WHERE
          modality = 'imc'
      ) AS c
        ON c.dataset = s.dataset AND c.channel_name = s.channel_name
      WHERE
        s.modality = 'imc' AND s.mpp = 1.0 AND s.spec = 'quantile_clipping/uq_0.99_image'
    ), in_rows AS (
      SELECT
        dataset,
        level,
        tissue_id,
        COUNT(mean) > 0 AS means,
        COUNT(mean) > 0 AND COUNT(std) > 0 AS moments,
        COUNT("upper") > 0 AS quantiles
      FROM statistics
      GROUP BY
        dataset,
        level,
        tissue_id
    ), in_columns AS (
      SELECT DISTINCT
        dataset,
        level,
        channel_name,
        tables LIKE '%means stds%' AS moments,
        tables LIKE '%upper_quantiles%' AS quantiles
      FROM statistics
    ), moment_level AS (
      SELECT
        dataset,
        COALESCE(MAX(CASE WHEN level = 'global' THEN 'global' END), 'image') AS level
      FROM in_rows
      WHERE
        means AND level IN ('image', 'global')
      GROUP BY
        dataset
    ), known_images AS (
      SELECT
        i.dataset,
        i.tissue_id,
        NOT q.dataset IS NULL AND NOT m.dataset IS NULL AS known
      FROM images AS i
      LEFT JOIN moment_level AS l
        ON l.dataset = i.dataset
      LEFT JOIN in_rows AS q
        ON q.dataset = i.dataset
        AND q.level = 'image'
        AND q.quantiles
        AND q.tissue_id = i.tissue_id
      LEFT JOIN in_rows AS m
        ON m.dataset = i.dataset
        AND m.level = l.level
        AND m.moments
        AND m.tissue_id = CASE WHEN l.level = 'global' THEN '' ELSE i.tissue_id END
      WHERE
        i.modality = 'imc' AND i.mpp = 1.0
    ), known_channels AS (
      SELECT
        q.dataset,
        q.channel_name
      FROM in_columns AS q
      LEFT JOIN moment_level AS l
        ON l.dataset = q.dataset
      LEFT JOIN in_columns AS m
        ON m.dataset = q.dataset
        AND m.channel_name = q.channel_name
        AND m.level = l.level
        AND m.moments
      WHERE
        q.level = 'image'
        AND q.quantiles
        AND NOT q.dataset IS NULL
        AND NOT m.dataset IS NULL
    )
    SELECT
      CONCAT_WS('/', lacking.dataset, lacking.tissue_id)
    FROM (
      SELECT DISTINCT
        c.dataset,
        c.tissue_id
      FROM tissue_channels AS c
      INNER JOIN known_images AS i
        ON i.dataset = c.dataset AND i.tissue_id = c.tissue_id
      LEFT JOIN known_channels AS k
        ON k.dataset = c.dataset AND k.channel_name = c.channel_name
      WHERE
        (
          c.modality = 'imc' AND c.measured AND (
            NOT i.known OR k.dataset IS NULL
          )
        )
        AND TRUE
    ) AS lacking
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
