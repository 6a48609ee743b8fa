-- settings: what belongs to the data and travels with a dump. No row is there until somebody sets
-- something (a row from the install script would collide with the row that pg_restore brings), so every
-- reader goes through current_settings(), which fills in the defaults.
CREATE TABLE slm_feedback.settings (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    time_zone text NOT NULL DEFAULT 'UTC',
    calendar_since timestamptz,
    calendar_first_day date,
    user_id_policy text NOT NULL DEFAULT 'plain' CHECK (user_id_policy IN ('plain', 'pseudonym', 'drop')),
    user_id_policy_since timestamptz,
    redact_at_write boolean NOT NULL DEFAULT false,
    min_group_users integer NOT NULL DEFAULT 0 CHECK (min_group_users BETWEEN 0 AND 1000),
    retain_rows_days integer CHECK (retain_rows_days > 0),
    retain_texts_days integer CHECK (retain_texts_days > 0),
    CHECK ((calendar_since IS NULL) = (calendar_first_day IS NULL))
);
COMMENT ON TABLE slm_feedback.settings IS
'Settings that belong to the data: no row (all defaults) or one. Change them with the set_ functions, which keep the metrics right.';
COMMENT ON COLUMN slm_feedback.settings.singleton IS 'Always true: at most one row.';
COMMENT ON COLUMN slm_feedback.settings.time_zone IS 'The time zone whose midnights separate days in every report. Default UTC. Changed by set_time_zone().';
COMMENT ON COLUMN slm_feedback.settings.calendar_since IS 'When the days of this time zone begin: null always, or the instant up to which retention had frozen days when the zone was set.';
COMMENT ON COLUMN slm_feedback.settings.calendar_first_day IS 'The day that begins at calendar_since; null if that is.';
COMMENT ON COLUMN slm_feedback.settings.user_id_policy IS 'How user ids are stored: plain (as given), pseudonym (keyed hash) or drop (not at all).';
COMMENT ON COLUMN slm_feedback.settings.user_id_policy_since IS 'When the user-id policy was last changed; null if never.';
COMMENT ON COLUMN slm_feedback.settings.redact_at_write IS 'Whether personal data is replaced by placeholders in query_text, response_text and comment before they are stored. Changed by set_redaction().';
COMMENT ON COLUMN slm_feedback.settings.min_group_users IS 'Reports leave out rows of fewer users than this; 0 leaves out none. Changed by set_min_group_users().';
COMMENT ON COLUMN slm_feedback.settings.retain_rows_days IS 'Queries and feedback are deleted when the query is this many days old; null (the default) keeps them. Changed by set_retention().';
COMMENT ON COLUMN slm_feedback.settings.retain_texts_days IS 'Questions, answers and comments are removed when the query is this many days old, and the rest of the row kept; null (the default) keeps them. Changed by set_retention().';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.settings', '');

CREATE FUNCTION slm_feedback.settings_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'slm_settings_changed';
COMMENT ON FUNCTION slm_feedback.settings_changed() IS
'Trigger of settings: tells every session to read the settings again once the change is committed.';
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON slm_feedback.settings
    FOR EACH STATEMENT EXECUTE FUNCTION slm_feedback.settings_changed();
ALTER TABLE slm_feedback.settings ENABLE ALWAYS TRIGGER settings_changed;

CREATE FUNCTION slm_feedback.time_zone() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce((SELECT s.time_zone FROM slm_feedback.settings s), 'UTC');
END;
COMMENT ON FUNCTION slm_feedback.time_zone() IS
'The time zone whose midnights separate days (default UTC).';

-- The one definition of a day is in src/calendar.c.
CREATE FUNCTION slm_feedback.day_start(day date, settings slm_feedback.settings) RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_calendar_day_start';
COMMENT ON FUNCTION slm_feedback.day_start(date, slm_feedback.settings) IS
'The instant at which a day begins under the given settings (null: the defaults): the first whose local date is that day or a later one. Errors: 22008 out of range.';

CREATE FUNCTION slm_feedback.day_of(at timestamptz, settings slm_feedback.settings) RETURNS date
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'slm_calendar_day_of';
COMMENT ON FUNCTION slm_feedback.day_of(timestamptz, slm_feedback.settings) IS
'The day of an instant under the given settings (null: the defaults): the last that has begun. Errors: 22008 out of range.';

CREATE FUNCTION slm_feedback.day_start(day date) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT slm_feedback.day_start(day, (SELECT s FROM slm_feedback.settings s));
END;
COMMENT ON FUNCTION slm_feedback.day_start(date) IS
'The instant at which a day begins in the configured time zone: the first whose local date is that day or a later one.';

CREATE FUNCTION slm_feedback.day_of(at timestamptz) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT slm_feedback.day_of(at, (SELECT s FROM slm_feedback.settings s));
END;
COMMENT ON FUNCTION slm_feedback.day_of(timestamptz) IS
'The day of an instant in the configured time zone: the last that has begun.';

CREATE FUNCTION slm_feedback.today() RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT slm_feedback.day_of(now());
END;
COMMENT ON FUNCTION slm_feedback.today() IS
'The day of the transaction''s start in the configured time zone.';
