"""Images and labels: one module per label format, all read into an `ImageSet`; decoded pixels; batches."""
