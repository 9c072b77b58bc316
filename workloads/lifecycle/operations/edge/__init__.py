"""The champion as files that run without the platform: on a laptop, a phone, in a browser."""
