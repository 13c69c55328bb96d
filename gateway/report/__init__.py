"""What the trail says of a time, counted and shown: one HTML file for whoever has to judge it."""
