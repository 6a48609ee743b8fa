"""What many small services do, for bench/http.bench to compare with: a database connection a request, and the
application's own SELECT, INSERT and COMMIT.

    DATABASE_URL=... uvicorn per_connection_service:app
"""

import os
from typing import Dict, Optional
from uuid import uuid4

import psycopg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

app = FastAPI()


class Interaction(BaseModel):
    query_text: str
    response_text: Optional[str] = None
    request_id: Optional[str] = None
    user_id: Optional[str] = None
    session_id: Optional[str] = None
    response_time_ms: Optional[int] = None
    model: Optional[str] = None
    prompt_version: Optional[str] = None
    input_tokens: Optional[int] = None
    output_tokens: Optional[int] = None
    cost_usd: Optional[float] = None


class Feedback(BaseModel):
    request_id: str
    is_helpful: Optional[bool] = None
    rating: Optional[int] = Field(default=None, ge=1, le=5)
    comment: Optional[str] = None
    user_id: Optional[str] = None


@app.post("/queries")
def record_query(query: Interaction) -> Dict[str, str]:
    request_id = query.request_id or str(uuid4())
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    try:
        known = connection.execute("SELECT 1 FROM raw.queries WHERE request_id = %s", (request_id,)).fetchone()
        if known is None:
            connection.execute(
                """INSERT INTO raw.queries (request_id, query_text, response_text, user_id, session_id, response_time_ms,
                       model, prompt_version, input_tokens, output_tokens, cost_usd)
                   VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                (request_id, query.query_text, query.response_text, query.user_id, query.session_id,
                 query.response_time_ms, query.model, query.prompt_version, query.input_tokens, query.output_tokens,
                 query.cost_usd),
            )
        connection.commit()
    finally:
        connection.close()
    return {"request_id": request_id}


@app.post("/feedback")
def submit_feedback(feedback: Feedback) -> Dict[str, str]:
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    try:
        query = connection.execute(
            "SELECT created_at FROM slm_feedback.queries WHERE request_id = %s", (feedback.request_id,)
        ).fetchone()
        if query is None:
            raise HTTPException(404, "unknown request")
        connection.execute(
            """INSERT INTO raw.feedback (request_id, user_id, is_helpful, rating, comment, query_created_at)
               VALUES (%s, %s, %s, %s, %s, %s)""",
            (feedback.request_id, feedback.user_id, feedback.is_helpful, feedback.rating, feedback.comment, query[0]),
        )
        connection.commit()
    finally:
        connection.close()
    return {"status": "ok"}
