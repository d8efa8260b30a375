"""Who is asked: rosters with shifts, swaps, holidays and substitutes, and who can be reached at all."""
