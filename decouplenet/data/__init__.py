"""Images and labels: one module a format, all giving an `ImageSet`; decoded pixels; batches."""
