-- Alerts: rules on the measures of the reports, evaluated after each rollup, and the alerts that they opened.
CREATE TABLE slm_feedback.alert_rules (
    rule_name text COLLATE "C" PRIMARY KEY CHECK (octet_length(rule_name) BETWEEN 1 AND 255),
    metric text COLLATE "C" NOT NULL,
    condition text NOT NULL CHECK (condition IN ('above', 'below', 'rises', 'falls')),
    threshold double precision NOT NULL,
    clear_threshold double precision NOT NULL,
    days integer NOT NULL CHECK (days BETWEEN 1 AND 366),
    ends text NOT NULL CHECK (ends IN ('today', 'yesterday')),
    min_sample bigint NOT NULL CHECK (min_sample >= 0),
    no_data text NOT NULL CHECK (no_data IN ('keep', 'open', 'close')),
    model text COLLATE "C" CHECK (octet_length(model) <= 255),
    prompt_version text COLLATE "C" CHECK (octet_length(prompt_version) <= 255),
    enabled boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE slm_feedback.alert_rules IS 'Rules on measures of the reports. Written by set_alert_rule() and drop_alert_rule().';
COMMENT ON COLUMN slm_feedback.alert_rules.rule_name IS 'The rule''s name.';
COMMENT ON COLUMN slm_feedback.alert_rules.metric IS 'A measure of report_summary() (or, with a model, of report_models()).';
COMMENT ON COLUMN slm_feedback.alert_rules.condition IS 'above or below a threshold; rises or falls by more than it against the period before, as a part of that (0.2 = 20%).';
COMMENT ON COLUMN slm_feedback.alert_rules.threshold IS 'Opens an alert when the value passes it.';
COMMENT ON COLUMN slm_feedback.alert_rules.clear_threshold IS 'Closes the alert when the value is back on the good side of it.';
COMMENT ON COLUMN slm_feedback.alert_rules.days IS 'How many days the measure covers.';
COMMENT ON COLUMN slm_feedback.alert_rules.ends IS 'The last of these days: today (the open day counts) or yesterday.';
COMMENT ON COLUMN slm_feedback.alert_rules.min_sample IS 'With fewer observations (opinions, for measures of feedback; queries, for others) there is no data.';
COMMENT ON COLUMN slm_feedback.alert_rules.no_data IS 'What no data does: keep (nothing), open or close an alert.';
COMMENT ON COLUMN slm_feedback.alert_rules.model IS 'Of this model only; null for all, empty for queries without one.';
COMMENT ON COLUMN slm_feedback.alert_rules.prompt_version IS 'Of this prompt version only.';
COMMENT ON COLUMN slm_feedback.alert_rules.enabled IS 'Whether the rule is evaluated.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.alert_rules', '');

CREATE TABLE slm_feedback.alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_name text COLLATE "C" NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    reason text NOT NULL,
    closed_reason text,
    first_day date NOT NULL,
    last_day date NOT NULL,
    value double precision,
    worst_value double precision,
    last_value double precision,
    sample bigint NOT NULL,
    users bigint
);
CREATE UNIQUE INDEX alerts_open_key ON slm_feedback.alerts (rule_name) WHERE closed_at IS NULL;
COMMENT ON TABLE slm_feedback.alerts IS 'The alerts that rules have opened: all open ones, and the newest 10,000.';
COMMENT ON COLUMN slm_feedback.alerts.alert_id IS 'Number of the alert.';
COMMENT ON COLUMN slm_feedback.alerts.rule_name IS 'The rule that opened it.';
COMMENT ON COLUMN slm_feedback.alerts.opened_at IS 'When it was opened.';
COMMENT ON COLUMN slm_feedback.alerts.closed_at IS 'When it was closed; null while it is open.';
COMMENT ON COLUMN slm_feedback.alerts.reason IS 'Why it was opened: threshold or no data.';
COMMENT ON COLUMN slm_feedback.alerts.closed_reason IS 'Why it was closed: recovered, no data, rule changed, rule disabled or rule dropped.';
COMMENT ON COLUMN slm_feedback.alerts.first_day IS 'The first day of the measure that opened it.';
COMMENT ON COLUMN slm_feedback.alerts.last_day IS 'The last day of the measure that opened it.';
COMMENT ON COLUMN slm_feedback.alerts.value IS 'The value that opened it (for rises and falls: the relative change); null for no data.';
COMMENT ON COLUMN slm_feedback.alerts.worst_value IS 'The worst value since.';
COMMENT ON COLUMN slm_feedback.alerts.last_value IS 'The value when the rule was last evaluated with data.';
COMMENT ON COLUMN slm_feedback.alerts.sample IS 'The number of observations behind the value.';
COMMENT ON COLUMN slm_feedback.alerts.users IS 'The least number of users behind any of its values; null if nothing was measured. Reports hide the alert where min_group_users is greater.';
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.alerts', '');
SELECT pg_catalog.pg_extension_config_dump('slm_feedback.alerts_alert_id_seq', '');

CREATE FUNCTION slm_feedback.alert_metrics() RETURNS TABLE (
    metric text, of_feedback boolean, least_value double precision, greatest_value double precision
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.attname::text, a.attname ~ '^(positive|negative|neutral|avg_rating)',
           CASE WHEN a.attname = 'avg_rating' THEN 1 ELSE 0 END,
           CASE WHEN a.attname = 'avg_rating' THEN 5 WHEN a.attname ~ '^positive_ratio|_rate$' THEN 1 END
    FROM pg_proc p, LATERAL unnest(p.proargnames, p.proallargtypes, p.proargmodes) AS a (attname, type, mode)
    WHERE p.oid = 'slm_feedback.report_models(date, date, boolean)'::regprocedure
      AND a.mode = 't' AND a.type IN ('bigint'::regtype, 'double precision'::regtype, 'numeric'::regtype)
    ORDER BY 1;
END;
COMMENT ON FUNCTION slm_feedback.alert_metrics() IS
'The measures that an alert rule can name: the numbers of report_models(); of_feedback: its sample is the opinions, not the queries; least_value and greatest_value: the range of the measure (null: no limit).';

-- One measure over a range of days. A model that was not used has no data.
CREATE FUNCTION slm_feedback.measure(
    metric text, first_day date, last_day date, model text, prompt_version text,
    OUT value double precision, OUT sample bigint, OUT users bigint
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- Rounded, because a cost may be too small for a double precision, which is an error.
    SELECT round((r.measures ->> metric)::numeric, 100)::double precision,
           coalesce(CASE WHEN (SELECT a.of_feedback FROM slm_feedback.alert_metrics() a WHERE a.metric = measure.metric)
                THEN (r.measures ->> 'positive_feedback_count')::bigint + (r.measures ->> 'negative_feedback_count')::bigint
                     + (r.measures ->> 'neutral_feedback_count')::bigint
                ELSE (r.measures ->> 'total_queries')::bigint END, 0),
           (r.measures ->> 'approx_unique_users')::bigint
    FROM (SELECT 1) one
    LEFT JOIN (
        SELECT to_jsonb(s) AS measures FROM slm_feedback.report_summary(first_day, last_day) s WHERE measure.model IS NULL
        UNION ALL
        SELECT to_jsonb(m)
        FROM slm_feedback.report_models(first_day, last_day, measure.prompt_version IS NOT NULL) m
        WHERE m.model = measure.model AND m.prompt_version IS NOT DISTINCT FROM measure.prompt_version
    ) r ON true;
END;
COMMENT ON FUNCTION slm_feedback.measure(text, date, date, text, text) IS
'The value of a measure of the reports over a range of days, and how many observations and users are behind it; users is null if the reports show no row.';

-- No number, no model and no rule's name: every role of the database can listen.
CREATE FUNCTION slm_feedback.notify_alert(alert slm_feedback.alerts) RETURNS void
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT pg_notify('slm_feedback_alert', jsonb_build_object(
        'alert_id', alert.alert_id, 'state', CASE WHEN alert.closed_at IS NULL THEN 'open' ELSE 'closed' END)::text);
END;
COMMENT ON FUNCTION slm_feedback.notify_alert(slm_feedback.alerts) IS
'Tells the listeners of channel slm_feedback_alert that an alert was opened or closed: its alert_id and state, as JSON. Any role can listen and send on any channel: a listener looks the alert_id up in report_alerts().';

CREATE FUNCTION slm_feedback.close_alert(rule slm_feedback.alert_rules, why text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed slm_feedback.alerts;
BEGIN
    UPDATE slm_feedback.alerts a SET closed_at = slm_feedback.clock(), closed_reason = why
    WHERE a.rule_name = rule.rule_name AND a.closed_at IS NULL
    RETURNING a.* INTO closed;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM slm_feedback.notify_alert(closed);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION slm_feedback.close_alert(slm_feedback.alert_rules, text) IS
'Closes a rule''s open alert, if there is one; returns how many were closed.';

CREATE FUNCTION slm_feedback.evaluate_alert_rule(rule slm_feedback.alert_rules) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last date := slm_feedback.day_of(slm_feedback.clock()) - CASE rule.ends WHEN 'today' THEN 0 ELSE 1 END;
    first date := last - rule.days + 1;
    is_change boolean := rule.condition IN ('rises', 'falls');
    -- above and rises: larger is worse
    sign integer := CASE WHEN rule.condition IN ('above', 'rises') THEN 1 ELSE -1 END;
    bad_from double precision := CASE WHEN rule.condition = 'falls' THEN -rule.threshold ELSE rule.threshold END;
    good_from double precision := CASE WHEN rule.condition = 'falls' THEN -rule.clear_threshold ELSE rule.clear_threshold END;
    measured record;
    before record;
    current_value double precision;
    least_users bigint;
    is_open boolean;
    opened slm_feedback.alerts;
BEGIN
    SELECT * INTO measured FROM slm_feedback.measure(rule.metric, first, last, rule.model, rule.prompt_version);
    current_value := measured.value;
    least_users := measured.users;
    IF is_change THEN
        SELECT * INTO before
        FROM slm_feedback.measure(rule.metric, first - rule.days, first - 1, rule.model, rule.prompt_version);
        current_value := (measured.value - before.value) / nullif(abs(before.value), 0);
        least_users := least(least_users, before.users);
        IF before.sample < rule.min_sample THEN
            current_value := NULL;
        END IF;
    END IF;
    IF measured.sample < rule.min_sample THEN
        current_value := NULL;
    END IF;

    UPDATE slm_feedback.alerts a
    SET last_value = current_value, sample = measured.sample, users = least(a.users, least_users),
        worst_value = CASE WHEN a.worst_value * sign > current_value * sign THEN a.worst_value ELSE current_value END
    WHERE a.rule_name = rule.rule_name AND a.closed_at IS NULL AND current_value IS NOT NULL;
    is_open := EXISTS (SELECT 1 FROM slm_feedback.alerts a WHERE a.rule_name = rule.rule_name AND a.closed_at IS NULL);

    IF is_open THEN
        RETURN CASE
            WHEN current_value IS NULL AND rule.no_data = 'close' THEN slm_feedback.close_alert(rule, 'no data')
            WHEN current_value * sign <= good_from * sign AND NOT current_value * sign > bad_from * sign
                THEN slm_feedback.close_alert(rule, 'recovered')
            ELSE 0
        END;
    END IF;
    IF current_value * sign > bad_from * sign OR (current_value IS NULL AND rule.no_data = 'open') THEN
        INSERT INTO slm_feedback.alerts (rule_name, opened_at, reason, first_day, last_day, value, worst_value, last_value, sample, users)
        VALUES (rule.rule_name, slm_feedback.clock(), CASE WHEN current_value IS NULL THEN 'no data' ELSE 'threshold' END,
                first, last, current_value, current_value, current_value, measured.sample, least_users)
        RETURNING * INTO opened;
        PERFORM slm_feedback.notify_alert(opened);
        RETURN 1;
    END IF;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION slm_feedback.evaluate_alert_rule(slm_feedback.alert_rules) IS
'Opens or closes the alert of one rule, as its measure says now; returns how many were opened or closed.';

CREATE FUNCTION slm_feedback.evaluate_alerts() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule slm_feedback.alert_rules;
    changes bigint := 0;
BEGIN
    -- One at a time, and no rule changes under it.
    LOCK TABLE slm_feedback.alert_rules IN SHARE ROW EXCLUSIVE MODE;
    FOR rule IN SELECT r.* FROM slm_feedback.alert_rules r WHERE r.enabled ORDER BY r.rule_name LOOP
        changes := changes + slm_feedback.evaluate_alert_rule(rule);
    END LOOP;
    DELETE FROM slm_feedback.alerts a
    WHERE a.closed_at IS NOT NULL AND a.alert_id <= (SELECT max(m.alert_id) - 10000 FROM slm_feedback.alerts m);
    RETURN changes;
END
$$;
COMMENT ON FUNCTION slm_feedback.evaluate_alerts() IS
'The job alerts: evaluates every rule, opens and closes alerts and notifies channel slm_feedback_alert of each change. Returns the number of changes.';

CREATE FUNCTION slm_feedback.set_alert_rule(
    rule_name text,
    metric text,
    condition text,
    threshold double precision,
    clear_threshold double precision DEFAULT NULL,
    days integer DEFAULT 1,
    ends text DEFAULT 'today',
    min_sample bigint DEFAULT 0,
    no_data text DEFAULT 'keep',
    model text DEFAULT NULL,
    prompt_version text DEFAULT NULL,
    enabled boolean DEFAULT true
) RETURNS slm_feedback.alert_rules
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    clear double precision := coalesce(clear_threshold, threshold);
    least_value double precision;
    greatest_value double precision;
    rule slm_feedback.alert_rules;
    old slm_feedback.alert_rules;
BEGIN
    IF rule_name IS NULL OR threshold IS NULL OR days IS NULL OR min_sample IS NULL OR enabled IS NULL THEN
        RAISE EXCEPTION 'rule_name, threshold, days, min_sample and enabled must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM slm_feedback.check_choice('metric', metric, ARRAY(SELECT m.metric FROM slm_feedback.alert_metrics() m)),
            slm_feedback.check_choice('condition', condition, ARRAY['above', 'below', 'rises', 'falls']),
            slm_feedback.check_choice('ends', ends, ARRAY['today', 'yesterday']),
            slm_feedback.check_choice('no_data', no_data, ARRAY['keep', 'open', 'close']);
    IF octet_length(rule_name) NOT BETWEEN 1 AND 255 OR octet_length(model) > 255 OR octet_length(prompt_version) > 255
       OR days NOT BETWEEN 1 AND 366 OR min_sample < 0
       OR threshold IN ('NaN', 'Infinity', '-Infinity') OR clear IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'a value of rule "%" is out of range', left(rule_name, 255)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'rule_name has 1 to 255 bytes, model and prompt_version have at most 255, days lies between 1 and 366, min_sample is not negative, thresholds are finite.';
    END IF;
    SELECT m.least_value, m.greatest_value INTO least_value, greatest_value
    FROM slm_feedback.alert_metrics() m WHERE m.metric = set_alert_rule.metric;
    IF condition IN ('above', 'below') AND
       (threshold NOT BETWEEN least_value AND coalesce(greatest_value, threshold)
        OR clear NOT BETWEEN least_value AND coalesce(greatest_value, clear)
        OR threshold = CASE condition WHEN 'above' THEN greatest_value ELSE least_value END) THEN
        RAISE EXCEPTION 'a threshold of rule "%" is outside of what metric "%" can pass', rule_name, metric
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = CASE WHEN greatest_value IS NULL THEN format('Its values start at %s.', least_value)
                                ELSE format('Its values lie between %s and %s.', least_value, greatest_value) END,
                  HINT = CASE greatest_value WHEN 1 THEN 'It is a share: write 70% as 0.7.' ELSE
                              'An alert opens only when a value is beyond the threshold.' END;
    END IF;
    IF condition = 'falls' AND threshold >= 1 THEN
        RAISE EXCEPTION 'no metric falls by more than all of its value'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The threshold is a part of the value before: 0.2 means by 20%.';
    END IF;
    IF condition IN ('rises', 'falls') AND (threshold <= 0 OR clear < 0) THEN
        RAISE EXCEPTION 'the threshold of a change must be positive'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is a part of the value before: 0.2 means by 20%.';
    END IF;
    IF (condition = 'below' AND clear < threshold) OR (condition <> 'below' AND clear > threshold) THEN
        RAISE EXCEPTION 'clear_threshold is on the wrong side of threshold'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('An alert would open at %s and close at %s.', threshold, clear),
                  HINT = 'It must not be beyond the threshold on the bad side; leave it out to close at the threshold.';
    END IF;
    IF prompt_version IS NOT NULL AND model IS NULL THEN
        RAISE EXCEPTION 'prompt_version needs a model'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name the model, too; the empty string is queries without one.';
    END IF;
    -- As evaluate_alerts() does.
    LOCK TABLE slm_feedback.alert_rules IN SHARE ROW EXCLUSIVE MODE;
    SELECT r.* INTO old FROM slm_feedback.alert_rules r WHERE r.rule_name = set_alert_rule.rule_name;
    INSERT INTO slm_feedback.alert_rules AS r
    VALUES (rule_name, metric, condition, threshold, clear, days, ends, min_sample, no_data, model, prompt_version, enabled)
    ON CONFLICT ON CONSTRAINT alert_rules_pkey DO UPDATE
    SET metric = excluded.metric, condition = excluded.condition, threshold = excluded.threshold,
        clear_threshold = excluded.clear_threshold, days = excluded.days, ends = excluded.ends,
        min_sample = excluded.min_sample, no_data = excluded.no_data, model = excluded.model,
        prompt_version = excluded.prompt_version, enabled = excluded.enabled
    RETURNING r.* INTO rule;
    -- What is open was opened by another rule of the same name.
    IF old IS DISTINCT FROM rule AND old.rule_name IS NOT NULL THEN
        PERFORM slm_feedback.close_alert(old, CASE WHEN enabled THEN 'rule changed' ELSE 'rule disabled' END);
    END IF;
    -- Under the lock: a run of the job that does not see the rule has started earlier.
    IF enabled AND old IS DISTINCT FROM rule THEN
        PERFORM slm_feedback.request_job('alerts');
    END IF;
    RETURN rule;
END
$$;
COMMENT ON FUNCTION slm_feedback.set_alert_rule IS
'Adds an alert rule, or replaces the one of the same name (whose open alert is closed). metric: a number of report_models(). condition: above or below threshold, or rises or falls by more than threshold (0.2 = 20%) against the days before. The alert closes at clear_threshold (default: threshold). The measure covers so many days that end today or yesterday. min_sample: with fewer observations (opinions for measures of feedback, queries for others) there is no data; no_data says whether that keeps, opens or closes the alert. Evaluated by the next run of the jobs (the worker''s comes at once), then after each rollup. Errors: 22023 unknown or unfitting value, 22004 missing one.';

CREATE FUNCTION slm_feedback.drop_alert_rule(rule_name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old slm_feedback.alert_rules;
BEGIN
    LOCK TABLE slm_feedback.alert_rules IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM slm_feedback.alert_rules r WHERE r.rule_name = drop_alert_rule.rule_name RETURNING r.* INTO old;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM slm_feedback.close_alert(old, 'rule dropped');
    RETURN true;
END
$$;
COMMENT ON FUNCTION slm_feedback.drop_alert_rule(text) IS
'Removes an alert rule and closes its open alert; its alerts stay in the log. False if there is no such rule.';

CREATE FUNCTION slm_feedback.report_alerts(open_only boolean DEFAULT true) RETURNS TABLE (
    alert_id bigint,
    rule_name text,
    metric text,
    condition text,
    threshold double precision,
    model text,
    prompt_version text,
    opened_at timestamptz,
    closed_at timestamptz,
    reason text,
    closed_reason text,
    value double precision,
    worst_value double precision,
    last_value double precision,
    sample bigint
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.alert_id, a.rule_name, r.metric, r.condition, r.threshold, r.model, r.prompt_version, a.opened_at, a.closed_at,
           a.reason, a.closed_reason, a.value, a.worst_value, a.last_value, a.sample
    FROM slm_feedback.alerts a LEFT JOIN slm_feedback.alert_rules r ON r.rule_name = a.rule_name
    WHERE (a.closed_at IS NULL OR NOT open_only)
      AND (a.users IS NULL OR slm_feedback.shows_merged_group(a.users, NULL, NULL))
    ORDER BY a.alert_id DESC;
END;
COMMENT ON FUNCTION slm_feedback.report_alerts(boolean) IS
'The alerts that are open (or, with open_only false, all that the log holds), newest first, with the rule as it is now. Leaves out alerts of fewer users than min_group_users, whenever they opened.';
