-- Nothing is granted to PUBLIC. This file stands last, so that it reaches every routine.
REVOKE ALL ON ALL ROUTINES IN SCHEMA slm_feedback FROM PUBLIC;
