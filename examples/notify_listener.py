#!/usr/bin/python3
"""Hands every new report and alert of slm_feedback to a command, for instance one that sends mail or chat.

    notify_listener.py CONNECTION COMMAND [ARGUMENT...]

The command runs once a message: its environment has SLM_CHANNEL (slm_feedback_report or
slm_feedback_alert), its standard input the text: a report's Markdown, or an alert's JSON. A report's text is
read by a role that may read period_reports. Needs psycopg 3.
"""
import json
import os
import subprocess
import sys

import psycopg

dsn, command = sys.argv[1], sys.argv[2:]


def markdown(report):
    # On a connection of its own: a notification that arrives with another result could be lost.
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT markdown FROM slm_feedback.period_reports"
            " WHERE (period, first_day, last_day) = (%s, %s::date, %s::date)",
            (report["period"], report["first_day"], report["last_day"])).fetchone()[0]


with psycopg.connect(dsn, autocommit=True) as listener:
    listener.execute("LISTEN slm_feedback_report")
    listener.execute("LISTEN slm_feedback_alert")
    print("listening", flush=True)
    for message in listener.notifies():
        text = message.payload
        if message.channel == "slm_feedback_report":
            text = markdown(json.loads(text))
        subprocess.run(command, input=text, text=True, check=False,
                       env={**os.environ, "SLM_CHANNEL": message.channel})
