"""From a recipe to a run: the loop, optimiser, monitors, log and checkpoints."""
