"""From an artifact to the Hub and back: what may be published, how it gets there, and whether it is still so."""
