"""Combined records: the events of one detection, and detections that belong together."""
