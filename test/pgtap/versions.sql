-- A library and objects of another version: a clear error in both directions, and none for another last number.
\ir setup.inc
CREATE EXTENSION slm_feedback CASCADE;
SELECT plan(16);

SELECT is(slm_feedback.library_version(), (SELECT extversion FROM pg_extension WHERE extname = 'slm_feedback'),
          'a fresh extension has the version of its library');
SELECT is((SELECT extversion FROM pg_extension WHERE extname = 'slm_feedback'),
          (SELECT default_version FROM pg_available_extensions WHERE name = 'slm_feedback'),
          'and that of the control file');

-- What an update does, as far as other sessions can see: another version, and the settings to be read again.
CREATE FUNCTION pg_temp.pretend(major int, minor int, patch int) RETURNS void LANGUAGE sql AS $$
    UPDATE pg_catalog.pg_extension
    SET extversion = (SELECT (v[1]::int + major) || '.' || (v[2]::int + minor) || '.' || (v[3]::int + patch)
                      FROM string_to_array(slm_feedback.library_version(), '.') v)
    WHERE extname = 'slm_feedback';
    UPDATE slm_feedback.settings SET singleton = true WHERE false;
$$;

SELECT lives_ok($$SELECT slm_feedback.record_query('q', request_id => 'version-test')$$, 'fitting versions record');
SELECT lives_ok($$SELECT pg_temp.pretend(0, 0, 1)$$);
SELECT lives_ok($$SELECT slm_feedback.submit_feedback('version-test', true)$$, 'a newer last number of the objects fits');

SELECT lives_ok($$SELECT pg_temp.pretend(0, 1, 0)$$);
SELECT throws_ok($$SELECT slm_feedback.submit_feedback('version-test', true)$$, '55000',
    'the library of slm_feedback is older than the extension in this database', 'submit_feedback: newer objects');
SELECT throws_ok($$SELECT slm_feedback.record_query('q')$$, '55000',
    'the library of slm_feedback is older than the extension in this database', 'record_query: newer objects');
SELECT throws_ok($$SELECT * FROM slm_feedback.record_queries('[{"query_text": "q"}]')$$, '55000',
    'the library of slm_feedback is older than the extension in this database', 'record_queries: newer objects');
SELECT throws_ok($$INSERT INTO slm_feedback.queries (request_id, query_text) VALUES ('direct', 'q')$$, '55000',
    'the library of slm_feedback is older than the extension in this database', 'the guard triggers: newer objects');
SELECT throws_ok($$SELECT * FROM slm_feedback.report_daily()$$, '55000',
    'the library of slm_feedback is older than the extension in this database', 'reports: newer objects');

SELECT lives_ok($$SELECT pg_temp.pretend(-1, 0, 0)$$);
SELECT throws_ok($$SELECT slm_feedback.record_query('q')$$, '55000',
    'the library of slm_feedback is newer than the extension in this database', 'record_query: older objects');

-- A function of the library that an older script declares with fewer arguments.
CREATE FUNCTION pg_temp.short_record_query(text) RETURNS text LANGUAGE c
    AS '$libdir/slm_feedback', 'slm_record_query';
SELECT throws_ok($$SELECT pg_temp.short_record_query('q')$$, '55000', NULL, 'too few arguments are not read');

SELECT lives_ok($$SELECT pg_temp.pretend(0, 0, 0)$$);
SELECT lives_ok($$SELECT slm_feedback.submit_feedback('version-test', false)$$, 'back to fitting versions');
SELECT * FROM finish();
DELETE FROM slm_feedback.queries WHERE request_id = 'version-test';
