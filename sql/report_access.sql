-- What a report shows: no small groups if so configured.
CREATE FUNCTION slm_feedback.shows_group(users bigint) RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'slm_shows_group';
COMMENT ON FUNCTION slm_feedback.shows_group(bigint) IS
'Whether reports show a row of so many users: the setting min_group_users decides as it is in force, in an older snapshot as well.';

CREATE FUNCTION slm_feedback.least_group_users() RETURNS integer
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'slm_least_group_users';
COMMENT ON FUNCTION slm_feedback.least_group_users() IS
'The setting min_group_users as it is in force, in an older snapshot as well: reports show no group of fewer users.';

CREATE FUNCTION slm_feedback.shows_merged_group(approx_users bigint, most_users_a_day bigint, users_of_days bigint)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'slm_shows_merged_group';
COMMENT ON FUNCTION slm_feedback.shows_merged_group(bigint, bigint, bigint) IS
'Whether reports show a row over several days: if it has as many users as min_group_users for certain. approx_users comes from a merged sketch, which is exact up to 160 users; above, 7% are taken off, four times its error. Or a single day has enough users (most_users_a_day); the sum over the days (users_of_days) is the most there can be.';

CREATE FUNCTION slm_feedback.check_single_answers_support(internal) RETURNS internal
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'slm_check_single_answers_support';
COMMENT ON FUNCTION slm_feedback.check_single_answers_support(internal) IS
'Planner support of check_single_answers(): the check comes before the planner looks at the statistics of the tables. Errors: 42501.';

CREATE FUNCTION slm_feedback.check_single_answers() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE SUPPORT slm_feedback.check_single_answers_support AS 'MODULE_PATHNAME', 'slm_check_single_answers';
COMMENT ON FUNCTION slm_feedback.check_single_answers() IS
'True if the caller may see rows of single answers: if min_group_users is 0, or if the caller may SELECT from queries. Errors: 42501 otherwise.';

CREATE FUNCTION slm_feedback.set_min_group_users(users integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF users IS NULL OR users NOT BETWEEN 0 AND 1000 THEN
        RAISE EXCEPTION 'the smallest group must lie between 0 and 1000 users'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 0 to show every group.';
    END IF;
    PERFORM slm_feedback.lock_settings();
    INSERT INTO slm_feedback.settings (min_group_users) VALUES (users)
    ON CONFLICT (singleton) DO UPDATE SET min_group_users = excluded.min_group_users;
    PERFORM slm_feedback.audit('set_min_group_users', jsonb_build_object('users', users));
END
$$;
COMMENT ON FUNCTION slm_feedback.set_min_group_users(integer) IS
'Makes reports leave out every row (day, model, question, range) with fewer users than this; 0, the default, leaves out none. Anonymous queries count as no user. Errors: 22023 outside 0 to 1000.';
