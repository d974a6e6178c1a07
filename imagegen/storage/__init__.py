"""Where images are kept: a directory or a bucket."""
