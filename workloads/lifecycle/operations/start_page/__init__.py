"""Start page: one page with where everything is and how it does, for people who come to the platform."""
