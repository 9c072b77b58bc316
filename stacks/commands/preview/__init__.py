"""What an update would do, told to people (text, Markdown with a flowchart) and machines (JSON)."""
