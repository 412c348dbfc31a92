"""What is asked: relate records, make Tables and Charts."""
