"""Ray Train's side: one configuration trained in full. Only this room imports `ray.train`.

Imports `results`, `machines`, `storage`, `gang` (its errors), `space` and `decouplenet`.
"""
