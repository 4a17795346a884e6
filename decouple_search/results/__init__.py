"""The files that a search or a training leaves: tables, the best checkpoint, the HTML page, TensorBoard's events.

Imports `study`, `storage`, `gang`, `space` and `decouplenet`.
"""
