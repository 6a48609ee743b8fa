-- feedback: the current opinion of one person on one answer. query_created_at is a copy of the query's
-- created_at, so that one day's feedback is one index range; the triggers keep it equal.
CREATE TABLE slm_feedback.feedback (
    request_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    is_helpful boolean,
    rating smallint,
    comment text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    query_created_at timestamptz NOT NULL,
    sentiment smallint,
    CONSTRAINT feedback_request_id_fkey FOREIGN KEY (request_id) REFERENCES slm_feedback.queries (request_id) ON DELETE CASCADE,
    CONSTRAINT feedback_key UNIQUE NULLS NOT DISTINCT (request_id, user_id),
    CONSTRAINT feedback_user_id_length CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    CONSTRAINT feedback_rating_range CHECK (rating BETWEEN 1 AND 5),
    CONSTRAINT feedback_sentiment CHECK (sentiment IS NOT DISTINCT FROM
        CASE
            WHEN is_helpful THEN 1
            WHEN NOT is_helpful THEN -1
            WHEN rating >= 4 THEN 1
            WHEN rating = 3 THEN 0
            WHEN rating <= 2 THEN -1
        END),
    CONSTRAINT feedback_says_something CHECK (is_helpful IS NOT NULL OR rating IS NOT NULL OR comment IS NOT NULL)
);
CREATE INDEX feedback_query_created_at_idx ON slm_feedback.feedback (query_created_at);
-- user_id may be null, so there is no primary key: without this, a publication of the table would make a changed opinion
-- fail. The same stands behind every table without a primary key. It costs nothing unless the table is published. In
-- PostgreSQL 18 it also wants a table without generated columns: the guard trigger sets sentiment, the check holds it.
ALTER TABLE slm_feedback.feedback REPLICA IDENTITY FULL;
COMMENT ON TABLE slm_feedback.feedback IS
'One row a person and answer: the person''s current opinion. Written by submit_feedback() and submit_feedback_batch(); direct writes are guarded by triggers.';
COMMENT ON COLUMN slm_feedback.feedback.request_id IS 'The answer that is judged: queries.request_id.';
COMMENT ON COLUMN slm_feedback.feedback.user_id IS 'Who judges, as the user-id policy stores it; null is the one anonymous opinion on the answer.';
COMMENT ON COLUMN slm_feedback.feedback.is_helpful IS 'Thumb up (true) or down (false); null if not given.';
COMMENT ON COLUMN slm_feedback.feedback.rating IS 'Rating from 1 (worst) to 5 (best); null if not given.';
COMMENT ON COLUMN slm_feedback.feedback.comment IS 'The person''s words; null if none, empty once retention has removed the texts.';
COMMENT ON COLUMN slm_feedback.feedback.created_at IS 'When the person first judged this answer.';
COMMENT ON COLUMN slm_feedback.feedback.updated_at IS 'When the opinion was last changed.';
COMMENT ON COLUMN slm_feedback.feedback.query_created_at IS 'Copy of queries.created_at: reports count feedback on the day of the query. Kept equal by the triggers.';
COMMENT ON COLUMN slm_feedback.feedback.sentiment IS '1 positive, 0 neutral, -1 negative: the thumb decides; without one a rating of 4 or 5 is positive, 3 neutral, 1 or 2 negative; a comment alone is null.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.feedback', '');
