"""A web service over slm_feedback, as an application would write one.

    APP_DATABASE_URL      a role that may record: SELECT slm_feedback.grant_access('web_app', 'app')
    REPORT_DATABASE_URL   a role that may read reports, the dashboard and exports: grant_access('web_reports', 'analyst')

    uvicorn app:app --port 8000

Debian packages: python3-fastapi python3-uvicorn python3-psycopg python3-psycopg-pool. The database checks what comes
in; its SQLSTATEs become HTTP statuses here. There is no login in this example: put one in front of /reports, /export
and /dashboard before anybody else can reach them.
"""

import os
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Dict, Iterator, Optional

import psycopg
from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import BaseModel


def make_pool(variable: str, size: int) -> ConnectionPool:
    return ConnectionPool(os.environ.get(variable, ""), min_size=1, max_size=size, timeout=10, open=False)


writes = make_pool("APP_DATABASE_URL", 8)
reads = make_pool("REPORT_DATABASE_URL", 4)
app = FastAPI(title="slm_feedback example")


@app.on_event("startup")
def open_pools() -> None:
    writes.open()
    reads.open()


@app.on_event("shutdown")
def close_pools() -> None:
    writes.close()
    reads.close()


@app.exception_handler(psycopg.Error)
def database_error(_: Request, error: psycopg.Error) -> JSONResponse:
    """PT404 is an unknown request; class 22 is data that the database refuses; anything else is our fault."""
    state = error.diag.sqlstate or ""
    status = 404 if state == "PT404" else 422 if state.startswith("22") else 500
    if status == 500:
        return JSONResponse({"detail": "the database failed"}, 500)
    return JSONResponse({"detail": error.diag.message_primary, "hint": error.diag.message_hint}, status)


@app.exception_handler(PoolTimeout)
def too_busy(_: Request, __: PoolTimeout) -> JSONResponse:
    return JSONResponse({"detail": "no database connection is free"}, 503)


class Interaction(BaseModel):
    query_text: str
    response_text: Optional[str] = None
    request_id: Optional[str] = None
    user_id: Optional[str] = None
    session_id: Optional[str] = None
    response_time_ms: Optional[float] = None
    model: Optional[str] = None
    prompt_version: Optional[str] = None
    input_tokens: Optional[int] = None
    output_tokens: Optional[int] = None
    cost_usd: Optional[Decimal] = None  # numeric in the database, to which PostgreSQL casts no float by itself
    error: Optional[str] = None
    metadata: Optional[Dict[str, Any]] = None


class Feedback(BaseModel):
    request_id: str
    is_helpful: Optional[bool] = None
    rating: Optional[int] = None
    comment: Optional[str] = None
    user_id: Optional[str] = None


@app.post("/queries")
def record_query(query: Interaction) -> Dict[str, str]:
    given = query.dict(exclude_none=True)
    if "metadata" in given:
        given["metadata"] = Jsonb(given["metadata"])
    # The names are the model's own fields, never the client's.
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    with writes.connection() as connection:
        row = connection.execute(f"SELECT slm_feedback.record_query({arguments})", given).fetchone()
    return {"request_id": row[0]}


@app.post("/feedback")
def submit_feedback(feedback: Feedback) -> Dict[str, Any]:
    with writes.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(
            """SELECT request_id, user_id, is_helpful, rating, comment, updated_at
               FROM slm_feedback.submit_feedback(%(request_id)s, %(is_helpful)s, %(rating)s, %(comment)s, %(user_id)s)""",
            feedback.dict(),
        ).fetchone()


@app.get("/reports/daily")
def report_daily(
    from_date: Optional[date] = None,
    to_date: Optional[date] = None,
    model: Optional[str] = None,
    prompt_version: Optional[str] = None,
) -> Any:
    with reads.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(
            "SELECT * FROM slm_feedback.report_daily(%s, %s, %s, %s)", (from_date, to_date, model, prompt_version)
        ).fetchall()


@app.get("/dashboard", response_class=HTMLResponse)
def dashboard(
    from_date: Optional[date] = None,
    to_date: Optional[date] = None,
    refresh_seconds: int = Query(3600, ge=0),
) -> HTMLResponse:
    with reads.connection() as connection:
        page = connection.execute(
            "SELECT slm_feedback.dashboard(%s, %s, %s)", (from_date, to_date, refresh_seconds)
        ).fetchone()[0]
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@app.get("/export")
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
