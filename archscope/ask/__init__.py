"""What is asked: whatever the user names becomes a record, counted, predicted or measured."""
