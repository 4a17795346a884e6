"""Images and labels: every format is read into an `ImageSet`; decoded pixels; batches; the check of a data set."""
