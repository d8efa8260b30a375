"""Fresh evidence about the node itself: its clock, its disk, its memory, and faults that last."""
