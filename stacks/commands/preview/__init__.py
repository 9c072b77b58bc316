"""What an update would do, told to people (text, Markdown), machines (JSON) and as a picture of the platform (SVG)."""
