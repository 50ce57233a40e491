"""Where statements come from: a file a source."""
