"""`ladder-hub eval linear`: linear classifiers on frozen features."""
