SELECT slm_feedback.check_members();
