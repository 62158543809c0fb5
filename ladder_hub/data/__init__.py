"""Images to batches of two views: sources, crops, photometric augmentation, loader."""
