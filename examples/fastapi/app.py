"""A web service over slm_feedback, as an application would write one.

    APP_DATABASE_URL      a role that may record: SELECT slm_feedback.grant_access('web_app', 'app')
    REPORT_DATABASE_URL   a role that may read reports, the dashboard and exports: grant_access('web_reports', 'analyst')

    uvicorn app:app --port 8000

Debian packages: python3-fastapi python3-uvicorn python3-psycopg python3-psycopg-pool. The code works with pydantic 1
and 2. The database checks what comes in; its SQLSTATEs become HTTP statuses here. Every error, whoever finds it, has
the form of Problem.

There is no login in this example. user_id comes from the request's body, so whoever can reach the service can speak
for anybody: before anybody else can reach it, put something in front that knows who is calling, and take user_id from
there. The same holds for /reports, /export and /dashboard, which show everybody's data.
"""

import os
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Dict, Iterator, List, Optional

import psycopg
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import BaseModel, StrictBool, StrictStr, conint
from starlette.exceptions import HTTPException

# JSON may nest deeper than Python and PostgreSQL like to go.
MAX_DEPTH = 50


def make_pool(variable: str, size: int) -> ConnectionPool:
    return ConnectionPool(os.environ.get(variable, ""), min_size=1, max_size=size, timeout=10, open=False)


writes = make_pool("APP_DATABASE_URL", 8)
reads = make_pool("REPORT_DATABASE_URL", 4)


# ---- errors ----


class Problem(BaseModel):
    """What every answer but 200 holds."""

    detail: str
    field: Optional[str] = None
    hint: Optional[str] = None
    sqlstate: Optional[str] = None


class Refused(Exception):
    """A value that cannot be sent to PostgreSQL, or an empty question."""

    def __init__(self, field: str, detail: str) -> None:
        self.field, self.detail = field, detail


app = FastAPI(
    title="slm_feedback example",
    responses={
        422: {"model": Problem, "description": "A value is missing, has the wrong type or is out of range"},
        503: {"model": Problem, "description": "No database connection is free, or the database is down"},
    },
)


@app.on_event("startup")
def open_pools() -> None:
    writes.open()
    reads.open()


@app.on_event("shutdown")
def close_pools() -> None:
    writes.close()
    reads.close()


def problem(status: int, detail: str, **more: Optional[str]) -> JSONResponse:
    return JSONResponse({"detail": detail, "field": None, "hint": None, "sqlstate": None, **more}, status)


@app.exception_handler(Refused)
def refused(_: Request, error: Refused) -> JSONResponse:
    return problem(422, error.detail, field=error.field)


@app.exception_handler(RequestValidationError)
def invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
    """The first of pydantic's complaints. The value itself stays out: it may be no valid text."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]).encode("utf-8", "replace").decode()
    return problem(422, first["msg"], field=field or None)


@app.exception_handler(HTTPException)
def http_error(_: Request, error: HTTPException) -> JSONResponse:
    """Unknown paths, wrong methods and bodies that cannot be read."""
    return problem(error.status_code, str(error.detail))


@app.exception_handler(psycopg.Error)
def database_error(_: Request, error: psycopg.Error) -> JSONResponse:
    """PT404 is an unknown request, classes 22 and 54 are data that the database refuses; the rest is our fault."""
    state = error.diag.sqlstate
    told = {"hint": error.diag.message_hint, "sqlstate": state}
    if state == "PT404":
        return problem(404, error.diag.message_primary, **told)
    if (state or "")[:2] in ("22", "54"):
        return problem(422, error.diag.message_primary, **told)
    if state is None and isinstance(error, psycopg.DataError):
        return problem(422, "PostgreSQL cannot hold a value of the request")
    if state is None or state[:2] in ("08", "53", "57"):
        return problem(503, "the database cannot be used now", sqlstate=state)
    return problem(500, "the database failed", sqlstate=state)


@app.exception_handler(PoolTimeout)
def too_busy(_: Request, __: PoolTimeout) -> JSONResponse:
    return problem(503, "no database connection is free")


def check_texts(values: Dict[str, Any]) -> Dict[str, Any]:
    """Refuse texts that PostgreSQL cannot hold (NUL, half of a surrogate pair), however deep they stand in JSON."""
    for field, whole in values.items():
        pending = [(whole, 0)]
        while pending:
            value, depth = pending.pop()
            if depth > MAX_DEPTH:
                raise Refused(field, f"JSON must not be nested more than {MAX_DEPTH} levels deep")
            if isinstance(value, dict):
                pending.extend((part, depth + 1) for item in value.items() for part in item)
            elif isinstance(value, list):
                pending.extend((part, depth + 1) for part in value)
            elif isinstance(value, str):
                if "\0" in value:
                    raise Refused(field, "text must not contain the character NUL")
                try:
                    value.encode()
                except UnicodeEncodeError:
                    raise Refused(field, "text must not contain half of a surrogate pair") from None
    return values


# ---- what goes in ----

Tokens = conint(strict=True, ge=0, le=2**31 - 1)


class Interaction(BaseModel, extra="forbid"):
    query_text: StrictStr
    response_text: Optional[StrictStr] = None
    request_id: Optional[StrictStr] = None
    user_id: Optional[StrictStr] = None
    session_id: Optional[StrictStr] = None
    response_time_ms: Optional[float] = None
    model: Optional[StrictStr] = None
    prompt_version: Optional[StrictStr] = None
    input_tokens: Optional[Tokens] = None
    output_tokens: Optional[Tokens] = None
    cost_usd: Optional[Decimal] = None  # numeric in the database, to which PostgreSQL casts no float by itself
    sources_used: Optional[List[Any]] = None
    error: Optional[StrictStr] = None
    tags: Optional[Dict[StrictStr, Any]] = None
    metadata: Optional[Dict[StrictStr, Any]] = None


class Feedback(BaseModel, extra="forbid"):
    request_id: StrictStr
    is_helpful: Optional[StrictBool] = None
    rating: Optional[conint(strict=True, ge=1, le=5)] = None
    comment: Optional[StrictStr] = None
    user_id: Optional[StrictStr] = None


# ---- what comes out ----


class Recorded(BaseModel):
    request_id: str


class StoredFeedback(BaseModel):
    request_id: str
    user_id: Optional[str] = None
    is_helpful: Optional[bool] = None
    rating: Optional[int] = None
    comment: Optional[str] = None


class Day(BaseModel):
    date: date
    total_queries: int
    unique_users: int
    avg_response_time_ms: Optional[float] = None
    p50_response_time_ms: Optional[float] = None
    p95_response_time_ms: Optional[float] = None
    positive_feedback_count: int
    negative_feedback_count: int
    neutral_feedback_count: int
    positive_ratio: Optional[float] = None
    avg_rating: Optional[float] = None
    error_count: int
    cost_usd: Optional[float] = None


DAY_COLUMNS = ", ".join(Day.__annotations__)  # the names are this program's own


@app.post("/queries", response_model=Recorded)
def record_query(query: Interaction) -> Dict[str, Any]:
    given = check_texts({name: value for name, value in dict(query).items() if value is not None})
    if not query.query_text.strip():
        raise Refused("query_text", "the question is empty")
    for name in ("sources_used", "tags", "metadata"):
        if name in given:
            given[name] = Jsonb(given[name])
    # The names are the model's own fields, never the client's.
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    with writes.connection() as connection:
        row = connection.execute(f"SELECT slm_feedback.record_query({arguments})", given).fetchone()
    return {"request_id": row[0]}


@app.post(
    "/feedback",
    response_model=StoredFeedback,
    responses={404: {"model": Problem, "description": "No query has this request id"}},
)
def submit_feedback(feedback: Feedback) -> Dict[str, Any]:
    given = check_texts(dict(feedback))
    with writes.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(
            """SELECT request_id, user_id, is_helpful, rating, comment
               FROM slm_feedback.submit_feedback(%(request_id)s, %(is_helpful)s, %(rating)s, %(comment)s, %(user_id)s)""",
            given,
        ).fetchone()


@app.get("/reports/daily", response_model=List[Day])
def report_daily(
    from_date: Optional[date] = None,
    to_date: Optional[date] = None,
    model: Optional[str] = None,
    prompt_version: Optional[str] = None,
) -> Any:
    check_texts({"model": model, "prompt_version": prompt_version})
    with reads.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(
            f"SELECT {DAY_COLUMNS} FROM slm_feedback.report_daily(%s, %s, %s, %s)",
            (from_date, to_date, model, prompt_version),
        ).fetchall()


@app.get("/dashboard", response_class=HTMLResponse)
def dashboard(
    from_date: Optional[date] = None,
    to_date: Optional[date] = None,
    refresh_seconds: int = Query(3600, ge=0, le=86400),
) -> HTMLResponse:
    with reads.connection() as connection:
        page = connection.execute(
            "SELECT slm_feedback.dashboard(%s, %s, %s)", (from_date, to_date, refresh_seconds)
        ).fetchone()[0]
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@app.get("/export", response_class=StreamingResponse)
def export(from_date: Optional[date] = None, to_date: Optional[date] = None) -> StreamingResponse:
    """Every interaction as a CSV file, row by row: neither side holds more than a few rows of it."""

    def rows() -> Iterator[bytes]:
        with reads.connection() as connection, connection.cursor() as cursor:
            with cursor.copy(
                """COPY (SELECT * FROM slm_feedback.export_interactions(%s, %s, neutralize_formulas => true))
                   TO STDOUT (FORMAT csv, HEADER)""",
                (from_date, to_date),
            ) as copy:
                for block in copy:
                    yield bytes(block)

    # The head and the first row are read before the status is sent, so that an error still gets its own.
    blocks = rows()
    begin = list(islice(blocks, 2))
    return StreamingResponse(
        chain(begin, blocks), media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="interactions.csv"'}
    )
