"""See inside: the analyses of the paper, the report and the gallery."""
