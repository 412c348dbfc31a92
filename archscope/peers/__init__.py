"""Other tools that count: what each reports, and how its convention differs."""
