"""What a backbone is worth: evaluations under named protocols."""
