#!/usr/bin/python3
"""Hands every new report and alert of slm_feedback to a command, for instance one that sends mail or chat.

    notify_listener.py CONNECTION COMMAND [ARGUMENT...]

The command runs once a message: its environment has SLM_CHANNEL (slm_feedback_report or
slm_feedback_alert), its standard input the text: a report's Markdown, or an alert's JSON. Needs psycopg 3.

Any role of the database can send on any channel, so a notification is only a hint to look: what is handed on is
what stands in the tables, once, and what does not stand there is ignored. The role needs the level analyst_texts
(reports quote questions).
"""
import json
import os
import subprocess
import sys

import psycopg

dsn, command = sys.argv[1], sys.argv[2:]


seen = set()


def row_of(query, *values):
    # On a connection of its own: a notification that arrives with another result could be lost.
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, values).fetchone()


def report_text(hint):
    row = row_of("SELECT markdown, generated_at::text FROM slm_feedback.period_reports"
                 " WHERE (period, first_day, last_day) = (%s, %s::date, %s::date)",
                 str(hint["period"]), str(hint["first_day"]), str(hint["last_day"]))
    return row and (row[0], ("report", row[1], row[0]))


def alert_text(hint):
    # An alert that is closed has been open: both are true of it.
    state = "closed" if hint["state"] == "closed" else "open"
    row = row_of("SELECT (to_jsonb(a) || jsonb_build_object('state', %s::text))::text"
                 " FROM slm_feedback.report_alerts(open_only => false) a"
                 " WHERE alert_id = %s::bigint AND (closed_at IS NOT NULL OR %s = 'open')",
                 state, int(hint["alert_id"]), state)
    return row and (row[0], ("alert", int(hint["alert_id"]), state))


def stored_text(channel, payload):
    """The text that a notification leads to, if there is one that was not handed on before."""
    try:
        hint = json.loads(payload)
        found = (report_text if channel == "slm_feedback_report" else alert_text)(hint)
    except (ValueError, TypeError, KeyError, psycopg.DataError):
        found = None
    if found is None or found[1] in seen:
        print("ignored a notification that says nothing new:", channel, file=sys.stderr, flush=True)
        return None
    seen.add(found[1])
    return found[0]


with psycopg.connect(dsn, autocommit=True) as listener:
    listener.execute("LISTEN slm_feedback_report")
    listener.execute("LISTEN slm_feedback_alert")
    print("listening", flush=True)
    for message in listener.notifies():
        text = stored_text(message.channel, message.payload)
        if text is not None:
            subprocess.run(command, input=text, text=True, check=False,
                           env={**os.environ, "SLM_CHANNEL": message.channel})
