"""Questions about speed, answered as ratios that were taken in one run on one machine."""
