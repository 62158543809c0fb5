"""`ladder-hub check`: a data set looked at before anything is learned from it or judged by it."""
