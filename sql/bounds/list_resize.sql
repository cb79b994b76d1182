-- purpose: a list of another length, up to 100,000 elements
-- grain:   one answer per call
-- source:  DuckDB's own list_resize, which no interrupt ends within a call and whose memory no limit counts
CREATE MACRO "list_resize"(list_, size_) AS system.main.list_resize(
    list_,
    CASE
        WHEN size_ > 100000 THEN error('A call of list_resize makes more than 100,000 elements. Ask for fewer.')
        ELSE size_
    END
),

(list_, size_, value_) AS system.main.list_resize(
    list_,
    CASE
        WHEN size_ > 100000 THEN error('A call of list_resize makes more than 100,000 elements. Ask for fewer.')
        ELSE size_
    END,
    value_
);
