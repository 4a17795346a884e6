"""From the content of an image file to RGB pixels: one step per module."""
