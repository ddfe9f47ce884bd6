"""The files of a machine or of a bundle, read into a Setup without running anything."""
