"""What the report and the gallery share: HTML that can't be broken out of, one look, charts inside the page."""
