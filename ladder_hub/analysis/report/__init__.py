"""`report`: runs side by side in one HTML file that needs nothing else, for people who look rather than read."""
