"""Tables of images and labels: their files, their columns, and what the labels in them mean."""
