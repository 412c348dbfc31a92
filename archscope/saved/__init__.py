"""What was saved: records in files, answers of earlier runs, and unfinished work."""
