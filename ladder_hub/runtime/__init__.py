"""What any long run stands on: processes, checkpoints, signals, the log, and a folder of its own."""
