"""What an expression calls, and whether it means the same for every row and at every time."""

from __future__ import annotations

from greenroom.adapters.database.reading.tokens import Kind, Token, Tokens
from greenroom.domain.schema import Dialect


def listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


NO_FUNCTION = listed(
    """ALL AND ANY ARRAY AS ASC BETWEEN BY CASE CHECK COLLATE COLUMNS CONFLICT DESC DISTINCT DUPLICATE ELSE END EXCEPT EXISTS
    EXPLAIN FILTER FROM GROUP GROUPING HAVING ILIKE IN INCLUDE INTERSECT INTERVAL INTO IS JOIN KEY LATERAL LIKE LIMIT
    MATERIALIZED NOT OFFSET ON ONLY OR ORDER OVER PARTITION RETURNING ROW ROWS SELECT SET SETS SIMILAR SOME SYMMETRIC TABLE
    THEN TO UNION USING VALUES WHEN WHERE WINDOW WITH WITHIN UPDATE INSERT DELETE ARRAY"""
)
TYPES = listed(
    """bigint binary bit blob bool boolean bpchar char character cidr date datetime dec decimal double enum float inet int
    integer interval json jsonb nchar numeric real signed smallint text time timestamp timestamptz timetz unsigned uuid
    varbinary varbit varchar varying year tinyint mediumint"""
)
STEADY = listed(
    """abs age array_append array_length array_position array_remove array_to_string array_cat arrays_overlap ascii avg
    bit_length btrim cardinality cast ceil ceiling char_length character_length chr coalesce concat concat_ws convert
    convert_from convert_to count current_date current_setting current_time current_timestamp current_user curdate curtime
    date date_format date_part date_trunc datetime day dayofmonth decode div encode exp extract floor format from_unixtime
    generate_series greatest group_concat hex hour if ifnull iif initcap instr isnull json_array json_build_array
    json_build_object json_extract json_object json_quote json_set json_type json_unquote json_valid jsonb_agg json_agg
    jsonb_array_elements jsonb_array_length jsonb_build_array jsonb_build_object jsonb_extract_path jsonb_extract_path_text
    jsonb_object_agg jsonb_set jsonb_strip_nulls jsonb_typeof julianday lcase least left length ln localtime localtimestamp
    locate log lower lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz max md5 min minute mod
    month nullif now num_nonnulls num_nulls octet_length overlay pi position power pow quote quote_ident quote_literal
    quote_nullable regexp_match regexp_replace regexp_split_to_array repeat replace reverse right round row_number rank
    dense_rank lag lead rpad rtrim second sha1 sha2 sha224 sha256 sha384 sha512 sign split_part sqrt starts_with strftime
    string_agg array_agg string_to_array strpos substr substring substring_index sum timestampadd timestampdiff timezone
    to_char to_date to_hex to_json to_jsonb to_number to_timestamp to_tsvector setweight total transaction_timestamp
    statement_timestamp translate trim trunc truncate typeof ucase unhex unix_timestamp unnest upper utc_timestamp utc_date
    width_bucket year unistr printf char unicode pg_column_size bool_and bool_or every row_to_json jsonb_path_query_first
    array_fill xmlelement lpad printf nvl day_name dayofweek week quarter last_day date_add date_sub adddate
    any_value"""
)
"""Built in, without effects, and the same for every row of a statement given the same arguments."""
VOLATILE = listed(
    """random gen_random_uuid gen_random_bytes uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7
    clock_timestamp timeofday nextval rand uuid uuid_short sysdate randomblob txid_current pg_current_xact_id"""
)
"""Built in or of a well-known extension: another value for every row, and no effect that anybody notices."""
CLAUSES = frozenset(
    {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "CURRENT_USER"}
)


def tokens_of(text: str, dialect: Dialect) -> list[Token]:
    return [token for token in Tokens(text, dialect) if token.kind is not Kind.COMMENT]


def functions(text: str, dialect: Dialect) -> tuple[str, ...]:
    """All names before a parenthesis that are no keywords or built-in types, with their schema but for pg_catalog."""
    tokens, found = tokens_of(text, dialect), list[str]()
    for i, token in enumerate(tokens[:-1]):
        if tokens[i + 1].text != "(" or token.kind not in (Kind.WORD, Kind.NAME):
            continue
        name = token.text.lower() if token.kind is Kind.WORD else token.text[1:-1]
        if i > 1 and tokens[i - 1].text == ".":
            owner = tokens[i - 2].text.lower()
            if owner != "pg_catalog":
                found.append(f"{owner}.{name}")
                continue
        elif token.word in NO_FUNCTION or (token.kind is Kind.WORD and name in TYPES):
            continue
        found.append(name)
    return tuple(dict.fromkeys(found))


def unknown(text: str, dialect: Dialect) -> tuple[str, ...]:
    """Functions whose effects nobody can tell by reading."""
    return tuple(name for name in functions(text, dialect) if name not in STEADY | VOLATILE)


def volatile(text: str, dialect: Dialect) -> tuple[str, ...]:
    """Functions that make another value for every row, or may."""
    return tuple(name for name in functions(text, dialect) if name not in STEADY)


def words(text: str, dialect: Dialect) -> tuple[str, ...]:
    """Every name in it, folded: of columns, tables, functions, keywords alike."""
    return tuple(
        token.text.lower() if token.kind is Kind.WORD else token.text[1:-1]
        for token in tokens_of(text, dialect)
        if token.kind in (Kind.WORD, Kind.NAME)
    )
