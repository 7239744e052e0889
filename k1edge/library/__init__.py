"""Genesis Maps on disk and the queue of analyses. Layer: edges."""
